"""Distance from the geometric median of the units (FPGM).

    score(c) = sum over units j of || W[c, ...] - W[j, ...] ||_2, writer by writer

The unit for which this is least lies nearest the geometric median: the others can stand in for it.
He et al., "Filter Pruning via Geometric Median", 2019.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows, Scores

__all__ = ["Fpgm"]


class Fpgm(Criterion):
    """A unit that is much like the others matters little."""

    name = "fpgm"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Rows:
        """Returns the summed distances, (writers, units)."""
        return np.stack([_distances(rows) for rows in group.writers()])


def _distances(rows: Rows) -> Scores:
    """Returns the sum of each row's distances from all rows, (units,).

    By |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, a single matrix product. Rows are taken from their mean,
    which no distance notices, so that less cancels.
    """
    rows = rows - rows.mean(axis=0)
    sizes = np.square(rows).sum(axis=1)
    squares = sizes[:, None] + sizes - 2 * (rows @ rows.T)
    np.fill_diagonal(squares, 0.0)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)).sum(axis=1))
