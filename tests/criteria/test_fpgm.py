"""Distances from the geometric median, worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from views import STREAM, STREAM_WEIGHTS, floats, made_by, view_of

from onnxtrim.criteria.fpgm import Fpgm


def test_distances_from_all_units_are_summed() -> None:
    # (0, 0), (3, 4), (0, 4): sides 5, 4, 3
    w = np.array([[0, 0], [3, 4], [0, 4]], np.float32).reshape(3, 2, 1, 1)
    (scores,) = Fpgm().score(made_by(w))
    assert scores == pytest.approx([9.0, 8.0, 7.0], rel=1e-14)


def test_a_unit_equal_to_the_median_scores_lowest() -> None:
    # around (1, 2), which is unit 3, the others stand as two pairs of opposites
    corners = [[4, 2], [-2, 2], [1, 7], [1, 2], [1, -3]]
    (scores,) = Fpgm().score(made_by(np.array(corners, np.float32).reshape(5, 2, 1, 1)))
    assert scores.argmin() == 3
    assert scores[3] == pytest.approx(3 + 3 + 5 + 5, rel=1e-14)


def test_each_writer_of_a_residual_stream_has_a_row() -> None:
    rows = Fpgm().score(view_of(STREAM, STREAM_WEIGHTS, "stem"))
    five, twenty = 5**0.5, 20**0.5
    # (1, 2), (-3, 4), (0, 0): sides sqrt 20, sqrt 5, 5
    assert rows[0] == pytest.approx([twenty + five, twenty + 5, five + 5], rel=1e-14)
    # 1, 0, 2 and 1, 1, -1, five times each
    assert rows[1] == pytest.approx([2 * five, 3 * five, 3 * five], rel=1e-14)
    assert rows[2] == pytest.approx([twenty, twenty, 2 * twenty], rel=1e-7)


@given(
    st.integers(1, 12), st.integers(1, 6), st.integers(0, 99), st.sampled_from([0.0, 1.0, 1e3, 1e6])
)
def test_random_weights_as_plain_python_measures_them(
    units: int, inputs: int, seed: int, offset: float
) -> None:
    w = floats(units, inputs, 1, 2, seed=seed) + np.float32(offset)
    rows = w.reshape(units, -1).tolist()
    (scores,) = Fpgm().score(made_by(w))
    expected = [math.fsum(math.dist(row, other) for other in rows) for row in rows]
    assert scores == pytest.approx(expected, rel=1e-9)


def test_what_all_units_share_does_not_blur_their_distances() -> None:
    w = floats(6, 5, 1, 1, seed=1) / 64
    w[:, 0] = 1e6
    rows = w.reshape(6, -1).tolist()
    (scores,) = Fpgm().score(made_by(w))
    expected = [math.fsum(math.dist(row, other) for other in rows) for row in rows]
    assert scores == pytest.approx(expected, rel=1e-9)


def test_equal_units_are_no_distance_apart() -> None:
    (scores,) = Fpgm().score(made_by(np.full((4, 3, 3, 3), 0.1, np.float32)))
    assert scores == pytest.approx([0.0] * 4, abs=1e-7)
