"""Mean activation: how strongly a unit fires on average.

    score(c) = | mean of a(n, c, p) over samples n and positions p |

One of the criteria of gradually global pruning (Wang et al., 2017), taken after a Relu, where the
mean is never negative; elsewhere its size counts.
"""

import numpy as np

from onnxtrim.calibration.measurements import Statistic
from onnxtrim.criteria.base import GroupView, Needs, Scores

__all__ = ["MeanActivation"]


class MeanActivation:
    """A unit whose activation is small on average matters little."""

    name = "mean"
    needs = Needs.ACTIVATIONS
    statistics: tuple[Statistic, ...] = ("mean",)
    wants_zeroes = False

    def score(self, group: GroupView) -> Scores:
        """Returns the size of the mean, (units,); the mean over taps where there are several."""
        return np.mean(np.abs(group.stats("mean")), axis=0)
