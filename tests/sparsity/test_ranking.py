"""Which weights are the least: by hand, and whatever the weights."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxtrim.sparsity.ranking import count_of, least, least_of_rows
from onnxtrim.zeros import Pattern

FEW = st.integers(-3, 3).map(float)
"""Few values, so that many are equal and some are 0."""


def drawn(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, shape, elements=FEW)


def test_the_least_of_all_tensors_by_hand() -> None:
    a = np.array([[3.0, -1.0], [0.5, 2.0]], np.float32)
    b = np.array([[-0.25, 4.0]], np.float32)
    found = least([a, b], 3)
    np.testing.assert_array_equal(found[0], [[False, True], [True, False]])
    np.testing.assert_array_equal(found[1], [[True, False]])


def test_of_equals_the_first_go() -> None:
    a, b = np.full((2, 2), -1, np.float32), np.ones((1, 3), np.float32)
    found = least([a, b], 5)
    assert [mask.ravel().tolist() for mask in found] == [[True] * 4, [True, False, False]]


@pytest.mark.parametrize(
    ("share", "size", "count"), [(0.29, 100, 29), (0.5, 3, 2), (0.5, 5, 2), (0.999, 10, 10)]
)
def test_shares_are_rounded(share: float, size: int, count: int) -> None:
    assert count_of(share, size) == count


def test_what_is_no_number_goes_last() -> None:
    a = np.array([[np.nan, -np.inf, 7.0]], np.float32)
    assert least([a], 1)[0].tolist() == [[False, False, True]]


def test_small_doubles_are_told_apart() -> None:
    a = np.array([[1 + 1e-12, 1.0]], np.float64)
    assert least([a], 1)[0].tolist() == [[False, True]]


@given(st.lists(drawn((2, 3)), min_size=1, max_size=4), st.floats(0, 1))
def test_the_count_is_exact_and_nothing_that_stays_is_less(
    weights: Sequence[np.ndarray], share: float
) -> None:
    count = count_of(share, sum(w.size for w in weights))
    masks = least(weights, count)
    flat = np.abs(np.concatenate([w.ravel() for w in weights]))
    gone = np.concatenate([mask.ravel() for mask in masks])
    assert np.count_nonzero(gone) == count
    assert flat[gone].max(initial=-1) <= flat[~gone].min(initial=9)
    limit = flat[gone].max(initial=-1)
    ties = gone[flat == limit]  # those that go come before those that stay
    assert ties.tolist() == sorted(ties.tolist(), reverse=True)


def test_a_pattern_by_hand_along_either_axis() -> None:
    w = np.array([[1, -4, 3, 2, 5, 0, -1, 1]], np.float32)
    wanted = [[True, False, False, True, False, True, True, False]]
    assert least_of_rows(w, 1, Pattern(2, 4)).tolist() == wanted
    assert least_of_rows(w.T, 0, Pattern(2, 4)).T.tolist() == wanted


def test_a_pattern_of_a_kernel_runs_along_the_channels() -> None:
    """At each position of the kernel by itself."""
    w = np.array([[[1, 9], [2, 8], [3, 7], [4, 6]]], np.float32)  # (1 output, 4 channels, 2)
    found = least_of_rows(w, 1, Pattern(2, 4))
    assert found[0].T.tolist() == [[True, True, False, False], [False, False, True, True]]


@given(
    drawn((3, 8, 2)),
    st.sampled_from([Pattern(1, 2), Pattern(2, 4), Pattern(1, 4), Pattern(3, 4), Pattern(5, 8)]),
)
def test_a_pattern_holds_in_every_row(w: np.ndarray, pattern: Pattern) -> None:
    gone = least_of_rows(w, 1, pattern)
    rows = np.moveaxis(gone, 1, -1).reshape(-1, pattern.width)
    sizes = np.moveaxis(np.abs(w), 1, -1).reshape(-1, pattern.width)
    assert (np.count_nonzero(rows, axis=1) == pattern.width - pattern.kept).all()
    for row, size in zip(rows, sizes, strict=True):
        assert size[row].max() <= size[~row].min()
