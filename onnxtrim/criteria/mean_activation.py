"""Mean activation: how strongly a unit fires on average.

    score(c) = | mean of a(n, c, p) over samples n and positions p |

One of the criteria of gradually global pruning (Wang et al., 2017), taken after a Relu, where the
mean is never negative; elsewhere its size counts.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Scores, average

__all__ = ["MeanActivation"]


class MeanActivation(Criterion):
    """A unit whose activation is small on average matters little."""

    name = "mean"
    needs = Needs.ACTIVATIONS
    statistics = ("mean",)

    def score(self, group: GroupView) -> Scores:
        """Returns the size of the mean, (units,); the mean over taps where there are several."""
        return average([np.abs(mean) for mean in group.stats("mean")])
