"""Relations -> units: the components of the equations, each free or frozen for a reason."""

from dataclasses import dataclass

import numpy as np

from onnxtrim.channels.components import components
from onnxtrim.channels.reasons import Reason
from onnxtrim.channels.relations import Ids, Relations

__all__ = ["Solution", "solve"]


@dataclass(frozen=True, slots=True)
class Solution:
    """What the equations come to.

    Attributes:
        unit_of: the unit of every id, (ids,).
        reasons: why each unit is frozen, (units,); None for a free one.
    """

    unit_of: Ids
    reasons: list[Reason | None]

    def free(self, ids: Ids) -> Ids:
        """Returns the units among `ids` that can go, sorted."""
        units = np.unique(self.unit_of[ids])
        return np.array([unit for unit in units if self.reasons[unit] is None], dtype=np.int64)


def solve(relations: Relations) -> Solution:
    """Returns the units of all ids; of several reasons the first in the order of `Code`."""
    roots = components(relations.count, *relations.edges())
    names, unit_of = np.unique(roots, return_inverse=True)
    refusals = sorted(relations.refusals(), key=lambda entry: entry[1].rank, reverse=True)
    chosen = np.full(len(names), -1, dtype=np.int64)
    for index, (ids, _) in enumerate(refusals):
        chosen[unit_of[ids]] = index
    return Solution(unit_of, [None if i < 0 else refusals[i][1] for i in chosen])
