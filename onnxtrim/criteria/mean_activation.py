"""Mean activation: how strongly a unit fires on average.

    score(c) = | mean of a(n, c, p) over samples n and positions p |

One of the criteria of gradually global pruning (Wang et al., 2017), taken after a Relu, where the
mean is never negative; elsewhere its size counts.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["MeanActivation"]


class MeanActivation(Criterion):
    """A unit whose activation is small on average matters little."""

    name = "mean"
    needs = Needs.ACTIVATIONS
    statistics = ("mean",)

    def score(self, group: GroupView) -> Rows:
        """Returns the size of the mean, (1, units)."""
        return np.abs(group.stats("mean"))[None]
