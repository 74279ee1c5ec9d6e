"""L1 norm of the weights that make a unit.

    score(c) = sum |W[c, ...]|, writer by writer

Li et al., "Pruning Filters for Efficient ConvNets", 2017.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["L1"]


class L1(Criterion):
    """A unit made with small weights matters little."""

    name = "l1"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Rows:
        """Returns the norms, (writers, units)."""
        return np.stack([np.abs(rows).sum(axis=1) for rows in group.writers()])
