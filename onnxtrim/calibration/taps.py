"""Model -> the same model with taps: graph outputs that carry per-channel means and nothing else.

Every statistic is a mean over samples and positions of some function of the tensor:

    mean    x
    zeros   1 - [x != 0]

[x != 0] is one HardSigmoid of |x| with a slope so steep that it yields 1 from 1e-38 on; smaller
numbers, which float32 has only in part, count as zeros. Feature maps
(N, C, H, W) are averaged by GlobalAveragePool, which stays in the runtime's fast layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration.measurements import Statistic
from onnxtrim.channels import Tap
from onnxtrim.graph.edit import new_initializer
from onnxtrim.graph.shapes import dims

__all__ = ["TappedModel", "with_taps"]

_STEEP = 1e38
_AXES_AS_OPERAND = 18
_POOLED_RANK = 4


@dataclass(frozen=True, slots=True)
class TappedModel:
    """A model whose outputs are statistics.

    Attributes:
        model: the instrumented model; its original outputs are gone.
        means: output names by (tensor, axis) and statistic; each output is (channels,) float.
        sizes: output names of the element counts, by (tensor, axis).
    """

    model: ir.Model
    means: dict[tuple[str, int], dict[Statistic, str]]
    sizes: dict[tuple[str, int], str]


def with_taps(model: ir.Model, taps: Sequence[Tap], statistics: Sequence[Statistic]) -> TappedModel:
    """Returns `model` instrumented with `statistics` at each of `taps`."""
    model = model.clone()
    builder = _Builder(model)
    values = {v.name: v for node in model.graph for v in node.outputs}
    values.update({v.name: v for v in model.graph.inputs})
    model.graph.outputs.clear()
    means: dict[tuple[str, int], dict[Statistic, str]] = {}
    sizes: dict[tuple[str, int], str] = {}
    for tap in dict.fromkeys(taps):
        value, key = values[tap.tensor], (tap.tensor, tap.axis)
        sizes[key] = builder.output(builder.node("Size", [value], ir.DataType.INT64))
        means[key] = {s: builder.statistic(value, tap, s) for s in statistics}
    return TappedModel(model, means, sizes)


class _Builder:
    """Appends nodes and outputs to the graph of a model."""

    def __init__(self, model: ir.Model) -> None:
        """Starts with the graph as it is."""
        self._graph = model.graph
        self._opset = model.opset_imports.get("", 1)
        self._count = 0

    def node(
        self,
        op_type: str,
        inputs: list[ir.Value],
        dtype: ir.DataType | None = None,
        **attributes: float | int | list[int],
    ) -> ir.Value:
        """Returns the output of a new node at the end of the graph."""
        self._count += 1
        kind = inputs[0].type if dtype is None else ir.TensorType(dtype)
        output = ir.Value(name=f"onnxtrim.tap.{self._count}", type=kind)
        attrs = [ir.convenience.convert_attribute(k, v) for k, v in attributes.items()]
        self._graph.append(ir.Node("", op_type, inputs, attrs, outputs=[output]))
        return output

    def output(self, value: ir.Value) -> str:
        """Returns the name of `value`, which becomes a graph output."""
        self._graph.outputs.append(value)
        return str(value.name)

    def statistic(self, value: ir.Value, tap: Tap, statistic: Statistic) -> str:
        """Returns the name of the output that carries the mean behind a statistic."""
        rank = len(dims(value) or ())
        if value.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            value = self.node("Cast", [value], ir.DataType.FLOAT, to=int(ir.DataType.FLOAT))
        if statistic == "zeros":
            magnitude = value if tap.zeroes else self.node("Abs", [value])
            if value.dtype == ir.DataType.DOUBLE:  # for which the runtime has no HardSigmoid
                value = self.node("Sign", [magnitude])
            else:
                value = self.node("HardSigmoid", [magnitude], alpha=_STEEP, beta=0.0)
        return self.output(self._channel_mean(value, tap.axis, rank))

    def _channel_mean(self, value: ir.Value, axis: int, rank: int) -> ir.Value:
        """Returns the mean over all axes but `axis`."""
        if rank == _POOLED_RANK and axis == 1 and value.dtype == ir.DataType.FLOAT:
            value = self.node("GlobalAveragePool", [value])
        axes = [i for i in range(rank) if i != axis]
        if not axes:
            return value
        if self._opset < _AXES_AS_OPERAND:
            return self.node("ReduceMean", [value], axes=axes, keepdims=0)
        operand = new_initializer(self._graph, "onnxtrim.axes", np.array(axes, dtype=np.int64))
        return self.node("ReduceMean", [value, operand], keepdims=0)
