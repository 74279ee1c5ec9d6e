"""L1 norm of the weights that make a unit.

    score(c) = mean over writers of sum |W[c, ...]|

Li et al., "Pruning Filters for Efficient ConvNets", 2017.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Scores, average

__all__ = ["L1"]


class L1(Criterion):
    """A unit made with small weights matters little."""

    name = "l1"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Scores:
        """Returns the norms, (units,)."""
        return average([np.abs(rows).sum(axis=1) for rows in group.writers()])
