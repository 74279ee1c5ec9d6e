"""Standard deviation of activation: how much a unit tells samples and positions apart.

    score(c) = sqrt(E[a^2] - E[a]^2),  over samples n and positions p of a(n, c, p)

One of the criteria of gradually global pruning (Wang et al., 2017). A unit that always says the
same can be replaced by a bias.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["StdActivation"]


class StdActivation(Criterion):
    """A unit that hardly varies matters little."""

    name = "std"
    needs = Needs.ACTIVATIONS
    statistics = ("mean", "square")

    def score(self, group: GroupView) -> Rows:
        """Returns the deviations, (1, units); over several taps, of their pooled samples."""
        variance = group.stats("square") - np.square(group.stats("mean"))
        return np.sqrt(np.maximum(variance, 0.0))[None]
