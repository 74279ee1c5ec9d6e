"""The instrumented model: new outputs only, and the original as it was."""

from typing import get_args

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_identical, proto_of, run

from onnxtrim.calibration import Statistic
from onnxtrim.calibration.taps import with_taps
from onnxtrim.channels import Tap
from onnxtrim.graph import load, normalize

TEXT = """<ir_version: 8, opset_import: ["": OPSET]> g (float[N, 2, 3, 3] x) => (float[N, 4] y) {
  a = Conv(x, w)
  r = Relu(a)
  f = Flatten(r)
  y = Gemm(f, v)
}"""
WEIGHTS: Arrays = {
    "w": np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype(np.float32),
    "v": np.random.default_rng(1).standard_normal((12, 4)).astype(np.float32),
}
EVERY: tuple[Statistic, ...] = get_args(Statistic)
RELU = Tap("r", 1, activation=True, zeroes=True)
FLAT = Tap("f", 1, activation=False, zeroes=False)


def model_of(opset: int = 17) -> ir.Model:
    return normalize(load(proto_of(TEXT.replace("OPSET", str(opset)), WEIGHTS)))


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_only_a_figure_a_channel_is_handed_out(opset: int) -> None:
    tapped = with_taps(model_of(opset), [RELU, FLAT], EVERY)
    found = run(tapped.model, {"x": np.ones((5, 2, 3, 3), np.float32)})
    expected = {("r", 1): 3, ("f", 1): 12}
    assert tapped.means.keys() == tapped.sizes.keys() == expected.keys()
    for key, channels in expected.items():
        assert tapped.means[key].keys() == set(EVERY)
        assert all(found[name].shape == (channels,) for name in tapped.means[key].values())
        assert found[tapped.sizes[key]] == 5 * 12
    names = [v for row in tapped.means.values() for v in row.values()] + list(tapped.sizes.values())
    assert sorted(found) == sorted(names), "an output that nobody reads is computed for nothing"


def test_the_original_stays_as_it_is() -> None:
    model = model_of()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    x = {"x": np.random.default_rng(2).standard_normal((3, 2, 3, 3)).astype(np.float32)}
    outputs = run(model, x)
    tapped = with_taps(model, [RELU, FLAT], EVERY)
    tapped.model.graph.initializers["w"].const_value = ir.Tensor(np.zeros((3, 2, 2, 2), np.float32))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    assert_identical(run(model, x), outputs)


def test_a_tap_asked_for_twice_is_taken_once() -> None:
    once, twice = (with_taps(model_of(), taps, EVERY) for taps in ([RELU], [RELU, RELU]))
    assert len(once.model.graph.outputs) == len(twice.model.graph.outputs) == 3


def test_an_input_can_be_tapped() -> None:
    tapped = with_taps(model_of(), [Tap("x", 1, activation=False, zeroes=False)], ["mean"])
    x = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    found = run(tapped.model, {"x": x})[tapped.means["x", 1]["mean"]]
    assert found.tolist() == [(4 + 22) / 2, (13 + 31) / 2]


def test_negative_figures_are_no_zeros() -> None:
    tapped = with_taps(model_of(), [Tap("x", 1, activation=False, zeroes=False)], ["zeros"])
    x = np.zeros((1, 2, 3, 3), np.float32)
    x[0, 0], x[0, 1, 0] = -1e-20, -5
    fired = run(tapped.model, {"x": x})[tapped.means["x", 1]["zeros"]]
    assert fired == pytest.approx([1.0, 1 / 3], abs=1e-6)
