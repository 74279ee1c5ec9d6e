"""L1 norms, worked out by hand."""

import math

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, made_by, view_of

from onnxtrim.criteria.l1 import L1

GEMM = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) {
  [make] a = Gemm <transB=TRANS> (x, w)
  [relu] r = Relu(a)
  [read] y = MatMul(r, row)
}"""


def test_absolute_weights_are_summed_over_everything_but_the_channel() -> None:
    w = np.array([[[1, -2], [3, 0]], [[0, 0], [0, -0.5]], [[0, 0], [0, 0]]], np.float32)
    assert L1().score(made_by(w.reshape(3, 2, 1, 2))).tolist() == [[6.0, 0.5, 0.0]]


def test_random_weights_as_plain_python_sums_them() -> None:
    w = floats(5, 3, 2, 3, seed=1)
    expected = [math.fsum(abs(v) for v in unit.reshape(-1).tolist()) for unit in w]
    (scores,) = L1().score(made_by(w))
    assert scores == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("transposed", [0, 1])
def test_the_axis_of_the_outputs_decides(transposed: int) -> None:
    w = np.array([[1, -2, 3], [4, 0, -8]], np.float32)  # (2 inputs, 3 units)
    weights = {"w": w.T.copy() if transposed else w, "row": np.ones((3, 1), np.float32)}
    view = view_of(GEMM.replace("TRANS", str(transposed)), weights, "make")
    assert L1().score(view).tolist() == [[5.0, 2.0, 11.0]]


def test_each_writer_of_a_residual_stream_has_a_row() -> None:
    view = view_of(STREAM, STREAM_WEIGHTS, "stem")
    assert [use.tensor for use in view.group.writers] == ["w0", "v1", "v2"]
    assert L1().score(view).tolist() == [[3, 7, 0], [5, 0, 10], [5, 5, 5]]


def test_half_precision_sums_do_not_overflow() -> None:
    text = GEMM.replace("TRANS", "0").replace("float[", "float16[")
    weights = {
        "w": np.full((2, 3), 60000, np.float16),
        "row": np.ones((3, 1), np.float16),
    }
    assert L1().score(view_of(text, weights, "make")).tolist() == [[120000.0] * 3]
