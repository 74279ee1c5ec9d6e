"""Output reconstruction: how much the outputs of the readers change when a unit goes.

A reader computes y_o = sum over units c, places p and kernel positions k of W[c, p, o, k] x_cp(k).
Without unit c it changes by d_o = sum over p, k of W[c, p, o, k] x_cp(k). With x = mu + f, where f
has mean 0 and is taken as uncorrelated from one place or kernel position to the next,

    E[d_o^2] = (sum_pk W mu_p)^2 + sum_pk W^2 (E[x_p^2] - mu_p^2)
    score(c) = sum over outputs o of E[d_o^2], reader by reader

which is exact for a product with one place a unit, and for 1x1 convolutions, grouped or not. The
first term is what a corrected bias gives back, the second what remains: the error that compensation
minimises. After He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", and Luo et
al., "ThiNet", both 2017, in closed form.

Where the covariances of what the readers read are known, that is taken into account which the units
that stay can make good for, and units go one by one (`elimination.py`).
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Reading, Rows, Scores
from onnxtrim.criteria.elimination import eliminated

__all__ = ["Reconstruction"]


class Reconstruction(Criterion):
    """A unit whose absence its readers hardly notice matters little."""

    name = "reconstruction"
    needs = Needs.WEIGHTS | Needs.INPUTS
    statistics = ("mean", "square")

    def score(self, group: GroupView) -> Rows:
        """Returns the mean squared changes, (readers, units), or (1, units) of what is left."""
        views = group.reader_views()
        if views:
            return eliminated(views)[None]
        return np.stack([_change(reading) for reading in group.readings("mean", "square")])


def _change(reading: Reading) -> Scores:
    """Returns the mean square by which one reader's outputs change without each unit, (units,)."""
    mean, square = reading.statistics["mean"], reading.statistics["square"]
    steady = (reading.weight * mean).sum(axis=(1, 4))
    spread = np.square(reading.weight) * np.maximum(square - np.square(mean), 0.0)
    return np.asarray(np.square(steady).sum(axis=(1, 2)) + spread.sum(axis=(1, 2, 3, 4)))
