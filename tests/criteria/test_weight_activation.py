"""Weight times activation, worked out by hand."""

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, measured, tensors, view_of

from onnxtrim.criteria.weight_activation import WeightActivation

SCORE = WeightActivation().score

CONV = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 2, 4, 3] y) {
  [make] a = Conv(x, w)
  [relu] r = Relu(a)
  [read] y = Conv(r, v)
}"""
FLAT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 2] y) {
  [make] a = Conv(x, w)
  [relu] r = Relu(a)
  [flat] f = Flatten(r)
  [read] y = Gemm(f, v)
}"""


def test_sizes_of_weights_count_by_the_root_mean_square_of_what_they_read() -> None:
    v = np.array([[[1, -2], [0, 0], [0, 3]], [[0, 4], [5, -5], [0, 0]]], np.float32)
    weights = {"w": floats(3, 2, 1, 1), "v": v.reshape(2, 3, 1, 2)}
    found = measured({"r": {"square": [4.0, 9.0, 0.0]}})
    # (1 + 2 + 4) * 2, (5 + 5) * 3, 3 * 0
    assert SCORE(view_of(CONV, weights, "make", found)).tolist() == [[14.0, 30.0, 0.0]]


def test_every_place_behind_a_flatten_counts_by_its_own() -> None:
    v = np.array([[1, -1], [2, 0], [0, 0], [0, -3]], np.float32)  # 2 units x 2 places, 2 outputs
    found = measured({"f": {"square": [1.0, 4.0, 100.0, 0.25]}})
    view = view_of(FLAT, {"w": floats(2, 2, 1, 1), "v": v}, "make", found)
    # 2 * 1 + 2 * 2, 0 * 10 + 3 * 0.5
    assert SCORE(view).tolist() == [[6.0, 1.5]]


def test_real_activations_as_numpy_multiplies_them() -> None:
    x, v = floats(6, 2, 4, 4, seed=6), floats(2, 5, 1, 2, seed=7)
    view = view_of(CONV, {"w": floats(5, 2, 1, 1, seed=8), "v": v}, "make", x)
    r = tensors(view.model, ["r"], x)["r"]
    root = np.linalg.norm(np.moveaxis(r, 1, 0).reshape(5, -1), axis=1) / np.sqrt(6 * 16)
    expected = [sum(abs(float(w)) for w in v[:, c].flat) * root[c] for c in range(5)]
    (scores,) = SCORE(view)
    assert scores == pytest.approx(expected, rel=1e-9)


def test_each_reader_of_a_residual_stream_has_a_row() -> None:
    weights = STREAM_WEIGHTS | {"wf": np.array([[1, -1], [0, 2], [3, 3]], np.float32)}
    found = measured(
        {
            "r0": {"square": [1.0, 4.0, 0.0]},
            "r1": {"square": [9.0, 0.0, 0.25]},
            "f": {"square": [4.0, 1.0, 1.0]},
        }
    )
    view = view_of(STREAM, weights, "stem", found)
    assert [read.node for read in view.group.readers] == ["out1", "out2", "head"]
    # 5 outputs by weights of 1, twice; then 2 * 2, 2 * 1, 6 * 1
    assert SCORE(view).tolist() == [[5, 10, 0], [15, 0, 2.5], [4, 2, 6]]
