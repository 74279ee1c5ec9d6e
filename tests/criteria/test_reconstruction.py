"""Output reconstruction: the score is the change that is measured when a unit is zeroed."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from views import STREAM, STREAM_WEIGHTS, floats, measured, only_row, tensors, view_of

from onnxtrim.criteria.base import GroupView, Scores
from onnxtrim.criteria.reconstruction import Reconstruction

Floats = npt.NDArray[Any]

CONV = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 5] x) => (float[N, 4, 4, 5] y) {
  [make] a = Conv(x, w, b)
  [act] r = ACT(a)
  [read] y = Conv <group=GROUPS> (r, v, bias)
}"""
GEMM = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 4] y) {
  [make] a = Gemm(x, w, b)
  [act] r = Relu(a)
  [read] y = Gemm <transB=TRANS> (r, v)
}"""
FLAT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 3] y) {
  [make] a = Conv(x, eye)
  [flat] f = Flatten(a)
  [read] y = Gemm(f, v)
}"""
WIDE = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 3, 1, 1] y) {
  [make] a = Conv(x, eye)
  [read] y = Conv(a, v)
}"""
EYE = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
# Two patterns over four samples with mean 0 and mean square 1, and no correlation.
FIRST, SECOND = np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])


def score(view: GroupView) -> Scores:
    return only_row(Reconstruction().score(view))


def changes(whole: Floats, without: list[Floats]) -> list[float]:
    """Returns the mean squares by which outputs (outputs, samples) change, summed over outputs."""
    return [float(np.square(whole - other).mean(axis=1).sum()) for other in without]


def convolved(r: Floats, v: npt.NDArray[np.float32], groups: int) -> Floats:
    """Returns the outputs of a 1x1 convolution, (outputs, samples and positions)."""
    blocks = np.split(np.moveaxis(r, 1, 0).reshape(r.shape[1], -1), groups)
    kernels = np.split(v[:, :, 0, 0].astype(np.float64), groups)
    return np.concatenate([w @ block for w, block in zip(kernels, blocks, strict=True)])


@given(
    st.sampled_from([1, 2, 4]),
    st.integers(2, 4),
    st.sampled_from(["Relu", "Tanh", "Sigmoid", "LeakyRelu"]),
    st.integers(0, 99),
)
def test_it_is_the_measured_change_of_a_1x1_convolution(
    groups: int, units: int, act: str, seed: int
) -> None:
    v = floats(4, units, 1, 1, seed=seed + 1)
    x = floats(5, 3, 4, 5, seed=seed)
    weights = {
        "w": floats(groups * units, 3, 1, 1, seed=seed + 2),
        "b": floats(groups * units, seed=seed + 3),
        "v": v,
        "bias": floats(4, seed=seed + 4),
    }
    text = CONV.replace("ACT", act).replace("GROUPS", str(groups))
    view = view_of(text, weights, "make", x)
    assert view.group.width == units
    r = tensors(view.model, ["r"], x)["r"]
    without = []
    for unit in range(units):
        zeroed = r.copy()
        zeroed[:, unit::units] = 0  # the same position of every block
        without.append(convolved(zeroed, v, groups))
    assert score(view) == pytest.approx(changes(convolved(r, v, groups), without), rel=1e-6)


@pytest.mark.parametrize("transposed", [0, 1])
def test_it_is_the_measured_change_of_a_matrix_product(transposed: int) -> None:
    v, x = floats(6, 4, seed=1), floats(50, 3, seed=2)
    weights = {"w": floats(3, 6, seed=3), "b": floats(6, seed=4)}
    weights["v"] = v.T.copy() if transposed else v
    view = view_of(GEMM.replace("TRANS", str(transposed)), weights, "make", x)
    r = tensors(view.model, ["r"], x)["r"]
    without = [(r * (np.arange(6) != unit)) @ v for unit in range(6)]
    assert score(view) == pytest.approx(changes((r @ v).T, [y.T for y in without]), rel=1e-6)


def test_it_is_the_measured_change_behind_a_flatten_where_places_are_uncorrelated() -> None:
    v = floats(4, 3, seed=5)
    x = np.empty((4, 2, 1, 2), np.float32)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 3 + 2 * FIRST, -1 + SECOND
    x[:, 1, 0, 0], x[:, 1, 0, 1] = 4 * SECOND, 5
    view = view_of(FLAT, {"eye": EYE, "v": v}, "make", x)
    f = tensors(view.model, ["f"], x)["f"]
    without = [f @ v - f[:, place] @ v[place] for place in ([0, 1], [2, 3])]
    assert score(view) == pytest.approx(changes((f @ v).T, [y.T for y in without]), rel=1e-6)


def test_it_is_the_measured_change_under_a_kernel_where_positions_are_uncorrelated() -> None:
    v = floats(3, 2, 1, 2, seed=6)
    x = np.empty((4, 2, 1, 2), np.float32)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 3 + 2 * FIRST, 3 + 2 * SECOND
    x[:, 1, 0, 0], x[:, 1, 0, 1] = -1 + SECOND, -1 + FIRST
    view = view_of(WIDE, {"eye": EYE, "v": v}, "make", x)
    a = tensors(view.model, ["a"], x)["a"]
    parts = [np.einsum("nk,ok->on", a[:, unit, 0], v[:, unit, 0]) for unit in range(2)]
    whole = parts[0] + parts[1]
    assert score(view) == pytest.approx(changes(whole, [parts[1], parts[0]]), rel=1e-6)


def test_weights_that_cancel_on_a_steady_unit_leave_what_varies() -> None:
    v = np.array([[1, -1], [2, 1]], np.float32).reshape(1, 2, 1, 2).repeat(3, axis=0)
    found = measured({"a": {"mean": [10.0, 1.0], "square": [100.5, 1.0]}})
    # 3 outputs: (10 - 10)^2 + (1 + 1) * 0.5, then (2 + 1)^2 + 0
    assert score(view_of(WIDE, {"eye": EYE, "v": v}, "make", found)).tolist() == [3.0, 27.0]


def test_a_variance_that_rounding_made_negative_is_none() -> None:
    found = measured({"a": {"mean": [0.3, 0.3], "square": [0.09 - 1e-12, 0.0]}})
    v = np.ones((3, 2, 1, 2), np.float32)
    view = view_of(WIDE, {"eye": EYE, "v": v}, "make", found)
    assert score(view) == pytest.approx([3 * 0.6**2] * 2, rel=1e-12)


def test_each_reader_of_a_residual_stream_has_a_row() -> None:
    weights = STREAM_WEIGHTS | {"wf": np.array([[1, -1], [0, 2], [3, 3]], np.float32)}
    found = measured(
        {
            "r0": {"mean": [1.0, 2.0, 0.0], "square": [1.0, 4.0, 0.0]},
            "r1": {"mean": [2.0, 0.0, 0.5], "square": [9.0, 0.0, 0.25]},
            "f": {"mean": [0.0, 1.0, -1.0], "square": [4.0, 1.0, 2.0]},
        }
    )
    # with one place a unit it is E[x^2] sum W^2: of 5 outputs by 1, twice, and of 2, 4, 18
    rows = Reconstruction().score(view_of(STREAM, weights, "stem", found))
    assert rows.tolist() == [[5, 20, 0], [45, 0, 1.25], [8, 4, 36]]


@pytest.mark.parametrize("directions", [1, 2])
def test_every_direction_of_a_recurrent_layer_has_outputs_of_its_own(directions: int) -> None:
    kind = "bidirectional" if directions == 2 else "forward"
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[3, N, 2] x) => (float y) {{
      [make] h = MatMul(x, w)
      [cell] s = RNN <hidden_size=2, direction="{kind}"> (h, v, r)
      y = ReduceSum <keepdims=0> (s)
    }}"""
    weights = {
        "w": floats(2, 3, seed=1),
        "v": floats(directions, 2, 3, seed=2),
        "r": floats(directions, 2, 2, seed=3),
    }
    x = floats(3, 4, 2, seed=4)
    view = view_of(text, weights, "make", x)
    h = tensors(view.model, ["h"], x)["h"].reshape(-1, 3)
    v = weights["v"].reshape(-1, 3).astype(np.float64)
    expected = [
        math.fsum(np.square(v[:, unit, None] * h[:, unit]).mean(axis=1)) for unit in range(3)
    ]
    assert score(view) == pytest.approx(expected, rel=1e-6)
