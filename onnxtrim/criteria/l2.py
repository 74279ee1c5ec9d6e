"""L2 norm of the weights that make a unit.

    score(c) = mean over writers of sqrt(sum W[c, ...]^2)

The norm of iterative neuron pruning; He et al., "Soft Filter Pruning", 2018.
"""

import numpy as np

from onnxtrim.criteria.base import GroupView, Needs, Scores

__all__ = ["L2"]


class L2:
    """A unit made with small weights matters little."""

    name = "l2"
    needs = Needs.WEIGHTS
    statistics = ()
    wants_zeroes = False

    def score(self, group: GroupView) -> Scores:
        """Returns the norms, (units,)."""
        return np.mean([np.sqrt(np.square(rows).sum(axis=1)) for rows in group.writers()], axis=0)
