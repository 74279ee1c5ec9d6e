"""AAWS: the average absolute weight sum of what makes a unit.

    score(c) = sum |W[c, ...]| / (number of weights of c), writer by writer

One of the criteria of gradually global pruning (Wang et al., 2017), for which it is the sum over
input channels and kernel, divided by their number. Within a layer it ranks as L1 does; between
layers of different fan-in it does not.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["Aaws"]


class Aaws(Criterion):
    """A unit made with weights that are small on average matters little."""

    name = "aaws"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Rows:
        """Returns the mean sizes, (writers, units)."""
        return np.stack([np.abs(rows).mean(axis=1) for rows in group.writers()])
