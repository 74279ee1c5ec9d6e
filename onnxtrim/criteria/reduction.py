"""Rows of scores, one a member of a group -> one row.

`mean`, `max`, `sum` over the members; `first` takes the member that comes first in the graph.
"""

from collections.abc import Callable, Mapping

import numpy as np

from onnxtrim.config import Reduction
from onnxtrim.criteria.base import Rows, Scores

__all__ = ["REDUCTIONS", "reduced"]


def _mean(rows: Rows) -> Scores:
    """Returns the mean over members."""
    return np.asarray(rows.mean(axis=0))


def _max(rows: Rows) -> Scores:
    """Returns the largest of the members."""
    return np.asarray(rows.max(axis=0))


def _sum(rows: Rows) -> Scores:
    """Returns the sum over members."""
    return np.asarray(rows.sum(axis=0))


def _first(rows: Rows) -> Scores:
    """Returns the first member."""
    return np.array(rows[0])


REDUCTIONS: Mapping[Reduction, Callable[[Rows], Scores]] = {
    "first": _first,
    "max": _max,
    "mean": _mean,
    "sum": _sum,
}


def reduced(rows: Rows, reduction: Reduction) -> Scores:
    """Returns (members, units) as (units,)."""
    return REDUCTIONS[reduction](rows)
