"""Rows of several members to one row."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.config import Reduction
from onnxtrim.criteria import Rows
from onnxtrim.criteria.reduction import REDUCTIONS, reduced

ALL: tuple[Reduction, ...] = get_args(Reduction)
ROWS = np.array([[1.0, 5.0, -3.0], [4.0, 2.0, -6.0]])
figures = st.lists(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=4
).map(np.array)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("first", [1.0, 5.0, -3.0]),
        ("max", [4.0, 5.0, -3.0]),
        ("mean", [2.5, 3.5, -4.5]),
        ("sum", [5.0, 7.0, -9.0]),
    ],
)
def test_by_hand(reduction: Reduction, expected: list[float]) -> None:
    assert reduced(ROWS, reduction).tolist() == expected


def test_the_table_lists_every_name_that_the_option_offers() -> None:
    assert set(REDUCTIONS) == set(ALL)


@pytest.mark.parametrize("reduction", ALL)
def test_the_row_is_nobody_elses(reduction: Reduction) -> None:
    rows = ROWS[:1].copy()
    reduced(rows, reduction)[:] = 9
    assert rows.tolist() == [[1.0, 5.0, -3.0]]


@pytest.mark.parametrize("reduction", ALL)
@given(row=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_a_member_alone_is_the_group(reduction: Reduction, row: list[float]) -> None:
    assert reduced(np.array([row]), reduction).tolist() == row


@pytest.mark.parametrize("reduction", [name for name in ALL if name != "first"])
@given(rows=figures)
def test_the_order_of_members_does_not_matter(reduction: Reduction, rows: Rows) -> None:
    assert reduced(rows[::-1], reduction) == pytest.approx(
        reduced(rows, reduction), rel=1e-12, abs=1e-6
    )


@given(rows=figures)
def test_the_mean_is_the_sum_by_the_number_of_members(rows: Rows) -> None:
    assert len(rows) * reduced(rows, "mean") == pytest.approx(reduced(rows, "sum"), abs=1e-6)
