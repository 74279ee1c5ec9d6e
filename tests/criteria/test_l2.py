"""L2 norms, worked out by hand."""

import math

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, made_by, view_of

from onnxtrim.criteria.l2 import L2


def test_squares_are_summed_over_everything_but_the_channel() -> None:
    w = np.array([[[1, -2], [2, 4]], [[3, 0], [0, -4]], [[0, 0], [0, 0]]], np.float32)
    assert L2().score(made_by(w.reshape(3, 2, 1, 2))).tolist() == [[5.0, 5.0, 0.0]]


def test_random_weights_as_plain_python_sums_them() -> None:
    w = floats(5, 3, 2, 3, seed=2)
    (scores,) = L2().score(made_by(w))
    assert scores == pytest.approx(
        [math.hypot(*unit.reshape(-1).tolist()) for unit in w], rel=1e-14
    )


def test_each_writer_of_a_residual_stream_has_a_row() -> None:
    rows = L2().score(view_of(STREAM, STREAM_WEIGHTS, "stem"))
    five = 5**0.5
    assert rows[0] == pytest.approx([five, 5, 0], rel=1e-15)
    assert rows[1] == pytest.approx([five, 0, 2 * five], rel=1e-15)
    assert rows[2] == pytest.approx([five, five, five], rel=1e-15)


def test_squares_in_half_precision_do_not_overflow() -> None:
    w = np.array([[[300, 400], [0, 0]], [[0, 0], [0, 1]]], np.float16).reshape(2, 2, 1, 2)
    assert L2().score(made_by(w)).tolist() == [[500.0, 1.0]]
