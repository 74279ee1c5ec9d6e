"""The instrumented model: new outputs only, and the original as it was."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Arrays, assert_identical, proto_of, run

from onnxtrim.calibration import Statistic
from onnxtrim.calibration.taps import Moment, TappedModel, with_taps
from onnxtrim.channels import Tap
from onnxtrim.graph import load, normalize

Array = npt.NDArray[Any]

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
def test_only_a_row_of_figures_a_sample_is_handed_out(opset: int) -> None:
    tapped = with_taps(model_of(opset), [RELU, FLAT], EVERY)
    found = run(tapped.model, {"x": np.ones((5, 2, 3, 3), np.float32)})
    behind_relu: set[Moment] = {"above", "mean", "square"}
    expected = {("r", 1): (3, behind_relu), ("f", 1): (12, behind_relu | {"below", "positive"})}
    assert tapped.readings.keys() == expected.keys()
    for key, (channels, moments) in expected.items():
        reading = tapped.readings[key]
        assert reading.channels == channels
        assert set(reading.moments) == moments
        assert found[reading.output].shape == (5, channels * len(moments))
    names = [reading.output for reading in tapped.readings.values()]
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
    assert len(once.model.graph.outputs) == len(twice.model.graph.outputs) == 1


def means(tapped: TappedModel, key: tuple[str, int], x: Array) -> dict[Moment, Array]:
    """Returns each moment of a reading, over the elements that its windows cover, (rows, C)."""
    reading = tapped.readings[key]
    rows = run(tapped.model, {"x": x})[reading.output]
    split = rows.reshape(len(rows), len(reading.moments), reading.channels)
    return dict(zip(reading.moments, np.moveaxis(split, 1, 0), strict=True))


INPUT = Tap("x", 1, activation=False, zeroes=False)


def test_an_input_can_be_tapped() -> None:
    tapped = with_taps(model_of(), [INPUT], ["mean"])
    x = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    assert means(tapped, ("x", 1), x)["mean"].tolist() == [[4, 13], [22, 31]]


def test_negative_figures_are_no_zeros() -> None:
    tapped = with_taps(model_of(), [INPUT], ["zeros"])
    x = np.zeros((1, 2, 3, 3), np.float32)
    x[0, 0], x[0, 1, 0], x[0, 1, 1, 0] = -1e-20, -5, 1e-30
    found = means(tapped, ("x", 1), x)
    assert found["below"] == pytest.approx(np.array([[1, 3 / 9]]), abs=1e-6)
    assert found["above"] == pytest.approx(np.array([[0, 1 / 9]]), abs=1e-6)


def test_what_no_tap_needs_is_gone() -> None:
    tapped = with_taps(model_of(), [RELU], EVERY)
    assert "Gemm" not in {node.op_type for node in tapped.model.graph}
    assert "v" not in tapped.model.graph.initializers


def test_every_tap_is_computed_right_behind_its_tensor(tmp_path: Path) -> None:
    """The runtime's own record of the order: no convolution runs while a tap is still to run."""
    convs = "".join(f"c{i} = Conv(r{i}, w)\n r{i + 1} = Relu(c{i})\n" for i in range(5))
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 16, 32, 32] r0) => (float[N, 16, 32, 32] r5) {{ {convs} }}"""
    w = np.random.default_rng(0).standard_normal((16, 16, 1, 1)).astype(np.float32)
    taps = [Tap(f"r{i + 1}", 1, activation=True, zeroes=True) for i in range(5)]
    tapped = with_taps(normalize(load(proto_of(text, {"w": w}))), taps, EVERY)
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    content = ir.to_proto(tapped.model).SerializeToString()
    session = ort.InferenceSession(content, options, ["CPUExecutionProvider"])
    session.run(None, {"r0": np.ones((1, 16, 32, 32), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [e["args"]["op_name"] for e in events if e["name"].endswith("_kernel_time")]
    order = [op for op in kernels if op in ("Conv", "Flatten")]
    assert order == ["Conv", "Flatten"] * 5


@given(st.lists(st.integers(1, 70), min_size=2, max_size=2))
def test_windows_cover_every_position_once(sizes: list[int]) -> None:
    """All ones average to the share of the covered positions that are inside."""
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 1, {sizes[0]}, {sizes[1]}] x) => (float[N, 1, {sizes[0]}, {sizes[1]}] y) {{
          y = Relu(x)
        }}"""
    tapped = with_taps(normalize(load(proto_of(text))), [INPUT], ["mean"])
    positions, covered = tapped.readings["x", 1].extent({})
    assert positions == sizes[0] * sizes[1] <= covered
    found = means(tapped, ("x", 1), np.ones((1, 1, *sizes), np.float32))["mean"]
    assert found[0, 0] * covered == pytest.approx(positions, rel=1e-6)
