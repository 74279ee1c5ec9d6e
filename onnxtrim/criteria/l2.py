"""L2 norm of the weights that make a unit.

    score(c) = sqrt(sum W[c, ...]^2), writer by writer

The norm of iterative neuron pruning; He et al., "Soft Filter Pruning", 2018.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["L2"]


class L2(Criterion):
    """A unit made with small weights matters little."""

    name = "l2"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Rows:
        """Returns the norms, (writers, units)."""
        return np.stack([np.sqrt(np.square(rows).sum(axis=1)) for rows in group.writers()])
