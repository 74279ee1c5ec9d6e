"""A group of a model in ONNX text, as a criterion sees it; no test lives here."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from oracle import Arrays, proto_of, run

from onnxtrim.calibration import Measurements, Statistic
from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.criteria import GroupView, Rows, Scores
from onnxtrim.graph import load, normalize

# A residual stream of 3 channels that is activated three times, and a dense head. `stem`, `back1`
# and `back2` write it; `out1`, `out2` and `head` read it.
STREAM = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 2] y) {
  [stem] a0 = Conv(x, w0)
  [relu0] r0 = Relu(a0)
  [out1] a1 = Conv(r0, w1)
  [inner1] b1 = Relu(a1)
  [back1] c1 = Conv(b1, v1)
  [add1] s1 = Add(c1, r0)
  [relu1] r1 = Relu(s1)
  [out2] a2 = Conv(r1, w2)
  [inner2] b2 = Relu(a2)
  [back2] c2 = Conv(b2, v2)
  [add2] s2 = Add(c2, r1)
  [relu2] r2 = Relu(s2)
  [pool] p = GlobalAveragePool(r2)
  [flat] f = Flatten(p)
  [head] y = Gemm(f, wf)
}"""

STREAM_WEIGHTS: Arrays = {
    "w0": np.array([[1, 2], [-3, 4], [0, 0]], np.float32).reshape(3, 2, 1, 1),
    "w1": np.ones((5, 3, 1, 1), np.float32),
    "v1": np.array([[1] * 5, [0] * 5, [2] * 5], np.float32).reshape(3, 5, 1, 1),
    "w2": np.ones((5, 3, 1, 1), np.float32),
    "v2": np.array([[1] * 5, [1] * 5, [-1] * 5], np.float32).reshape(3, 5, 1, 1),
    "wf": np.ones((3, 2), np.float32),
}


def measured(values: Mapping[str, Mapping[Statistic, list[float]]]) -> Measurements:
    """Returns measurements of axis 1 of the given tensors."""
    return Measurements(
        {
            (tensor, 1): {name: np.array(row, dtype=np.float64) for name, row in found.items()}
            for tensor, found in values.items()
        },
        samples=1,
        fingerprint="",
    )


def tensors(model: ir.Model, names: Iterable[str], x: npt.NDArray[Any]) -> Arrays:
    """Returns whole tensors of a run on `x`, in double precision."""
    proto = ir.to_proto(model)
    outputs = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in sorted({*names} - outputs))
    found = run(proto, {proto.graph.input[0].name: x})
    return {name: found[name].astype(np.float64) for name in names}


def observed(model: ir.Model, channel_map: ChannelMap, x: npt.NDArray[Any]) -> Measurements:
    """Returns every statistic wherever a criterion may ask for it, from whole tensors."""
    taps = [tap for group in channel_map.groups for tap in group.taps]
    taps += [read.source for g in channel_map.groups for read in g.readers if read.source]
    found = tensors(model, {tap.tensor for tap in taps}, x)
    return Measurements(
        {(tap.tensor, tap.axis): _statistics(found[tap.tensor], tap.axis) for tap in taps},
        samples=len(x),
        fingerprint="",
    )


def _statistics(array: npt.NDArray[Any], axis: int) -> dict[Statistic, npt.NDArray[np.float64]]:
    """Returns every statistic of each position of an axis."""
    rest = tuple(i for i in range(array.ndim) if i != axis)
    return {
        "zeros": (array == 0).mean(axis=rest),
        "mean": array.mean(axis=rest),
        "square": (array**2).mean(axis=rest),
        "magnitude": np.abs(array).mean(axis=rest),
    }


def analysed(text: str, weights: Arrays) -> tuple[ir.Model, ChannelMap]:
    """Returns a model in ONNX text, normalised, and its map."""
    model = normalize(load(proto_of(text, weights)))
    return model, analyze(model)


def view_of(
    text: str,
    weights: Arrays,
    group: str,
    measurements: Measurements | npt.NDArray[Any] | None = None,
    seed: int = 0,
) -> GroupView:
    """Returns the view of the group called `group`, with measurements or with inputs to measure."""
    model, channel_map = analysed(text, weights)
    if isinstance(measurements, np.ndarray):
        measurements = observed(model, channel_map, measurements)
    (found,) = [g for g in channel_map.groups if g.name == group]
    return GroupView(found, channel_map, model, measurements, seed)


def made_by(weight: npt.NDArray[Any]) -> GroupView:
    """Returns the view of the units that a convolution makes by `weight`, (units, inputs, h, w)."""
    units, *sizes = weight.shape
    kind = {"float32": "float", "float16": "float16"}[weight.dtype.name]
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (
        {kind}[N, {", ".join(map(str, sizes))}] x) => ({kind}[N, 1, 1, 1] y) {{
      [make] a = Conv(x, w, b)
      [relu] r = Relu(a)
      [read] y = Conv(r, row)
    }}"""
    weights = {
        "w": weight,
        "b": np.full(units, 100, weight.dtype),  # no weight that makes a unit's activation
        "row": np.ones((1, units, 1, 1), weight.dtype),
    }
    return view_of(text, weights, "make")


def only_row(rows: Rows) -> Scores:
    """Returns the scores of a group with one member."""
    assert len(rows) == 1
    return np.asarray(rows[0])


def floats(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Returns normal figures."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
