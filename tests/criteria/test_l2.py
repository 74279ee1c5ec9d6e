"""L2 norms, worked out by hand."""

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, view_of

from onnxtrim.criteria.l2 import L2

CONV = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 2, 2] x) => (float[N, 1, 2, 1] y) {
  [make] a = Conv(x, w)
  [relu] r = Relu(a)
  [read] y = Conv(r, row)
}"""


def test_squares_are_summed_over_everything_but_the_channel() -> None:
    w = np.array([[[1, -2], [2, 4]], [[3, 0], [0, -4]], [[0, 0], [0, 0]]], np.float32)
    weights = {"w": w.reshape(3, 2, 1, 2), "row": np.ones((1, 3, 1, 1), np.float32)}
    assert L2().score(view_of(CONV, weights, "make")).tolist() == [5.0, 5.0, 0.0]


def test_writers_of_a_residual_stream_are_averaged() -> None:
    view = view_of(STREAM, STREAM_WEIGHTS, "stem")
    # stem: sqrt 5, 5, 0; back1: sqrt 5, 0, sqrt 20; back2: sqrt 5 each
    five = 5**0.5
    expected = [five, (5 + five) / 3, five]
    assert L2().score(view) == pytest.approx(expected, abs=1e-12)


def test_squares_in_half_precision_do_not_overflow() -> None:
    text = CONV.replace("float[", "float16[")
    weights = {
        "w": np.array([[[300, 400], [0, 0]], [[0, 0], [0, 1]]], np.float16).reshape(2, 2, 1, 2),
        "row": np.ones((1, 2, 1, 1), np.float16),
    }
    assert L2().score(view_of(text, weights, "make")).tolist() == [500.0, 1.0]
