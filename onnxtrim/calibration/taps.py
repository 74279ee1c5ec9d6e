"""Model -> the same model with taps: graph outputs that carry per-channel means and nothing else.

Every statistic follows from means of functions of the tensor, called moments here:

    mean      x
    square    x * x
    positive  max(x, 0)
    above     [x > 0]       zeros     = 1 - above - below
    below     [x < 0]       magnitude = 2 positive - mean

Behind a Relu nothing is below 0, so that `below` is 0 and `positive` is `mean`. [x > 0] is one
HardSigmoid with a slope so steep that it yields 1 from 1e-38 on; smaller numbers, which float32
has only in part, count as zeros.

Speed. HardSigmoid, Mul, Relu and the pools compute in the blocked layout of the runtime's
convolutions, where Abs, Sign or a Reduce would make it reorder the tensor first. The runtime
orders nodes depth first, starting at the last node that nobody reads. So the taps stand behind all
other nodes, the deepest first: each is computed right behind the tensor that it taps, while that
lies in the cache, and no activation waits for its turn in memory.

Exactness. One float32 sum over 100 x 100 equal numbers is off by 1e-4. So feature maps
(N, C, *spatial) are averaged window by window, then windows of windows; their errors stay below
1e-6. Whatever else is averaged is averaged in double.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnxtrim.calibration.measurements import Statistic
from onnxtrim.channels import Tap
from onnxtrim.graph.edit import new_initializer
from onnxtrim.graph.runtime import Arrays
from onnxtrim.graph.shapes import Shape, dims

__all__ = ["Moment", "Reading", "TappedModel", "with_taps"]

Moment = Literal["mean", "square", "positive", "above", "below"]

Window = tuple[int, ...]
"""The sizes of a window over spatial axes, which is also its stride."""

_NEEDED: Mapping[Statistic, tuple[Moment, ...]] = {
    "zeros": ("above", "below"),
    "mean": ("mean",),
    "square": ("square",),
    "magnitude": ("mean", "positive"),
}
_KNOWN_BEHIND_RELU = ("below", "positive")
_STEEP = 1e38
_AXES_AS_OPERAND = 18
_POOLED_RANKS = (3, 4, 5)
_FEW, _MANY = 16, 64
"""Positions of a window: a float32 sum over `_MANY` equal numbers is right to 1e-6."""
_ANY_SIZE = 512
"""For how many positions an axis of unknown size is windowed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one output of a tapped model says of a tensor: means, one row for each of its rows.

    A row is what lies at one place of axis 0, mostly a sample.

    Attributes:
        output: the name of the output, (rows, moments * channels); one row may lack its axis.
        moments: what it carries, in this order.
        channels: how many channels.
        axes: the axes that are averaged within a row.
        sizes: the sizes of these axes; None where a size is not known before the run.
        shape: the name of an output with the sizes of the tensor, where `axes` need it.
        windows: the window over `axes` of each stage of pooling. Windows that reach over the edge
            average zeros too.
    """

    output: str
    moments: tuple[Moment, ...]
    channels: int
    axes: tuple[int, ...]
    sizes: Shape
    shape: str | None
    windows: tuple[Window, ...]

    def extent(self, outputs: Arrays) -> tuple[int, int]:
        """Returns how many elements of a channel a row has, and how many its windows cover."""
        sizes = [size or 0 for size in self.sizes]
        if self.shape is not None:
            sizes = [int(outputs[self.shape][axis]) for axis in self.axes]
        covered = sizes
        for window in self.windows:
            covered = [-(-size // step) for size, step in zip(covered, window, strict=True)]
        steps = prod(prod(window) for window in self.windows)
        return prod(sizes), prod(covered) * steps


@dataclass(frozen=True, slots=True)
class TappedModel:
    """A model whose outputs are statistics.

    Attributes:
        model: the instrumented model; its original outputs are gone.
        readings: what its outputs say, by (tensor, axis), in the order of the taps.
    """

    model: ir.Model
    readings: dict[tuple[str, int], Reading]


def with_taps(model: ir.Model, taps: Sequence[Tap], statistics: Sequence[Statistic]) -> TappedModel:
    """Returns `model` instrumented with what `statistics` need at each of `taps`."""
    model = model.clone()
    values: dict[str | None, ir.Value] = {v.name: v for v in model.graph.inputs}
    values.update((v.name, v) for node in model.graph for v in node.outputs)
    depth = {name: place for place, name in enumerate(values)}
    model.graph.outputs.clear()
    builder = _Builder(model)
    readings: dict[tuple[str, int], Reading] = {}
    taps = list(dict.fromkeys(taps)) if statistics else []
    for tap in sorted(taps, key=lambda tap: depth[tap.tensor], reverse=True):
        moments = dict.fromkeys(m for statistic in statistics for m in _NEEDED[statistic])
        known = _KNOWN_BEHIND_RELU if tap.zeroes else ()
        wanted = tuple(moment for moment in moments if moment not in known)
        readings[tap.tensor, tap.axis] = builder.reading(values[tap.tensor], tap.axis, wanted)
    RemoveUnusedNodesPass()(model)
    return TappedModel(model, {(t.tensor, t.axis): readings[t.tensor, t.axis] for t in taps})


class _Builder:
    """Appends nodes and outputs to the graph of a model."""

    def __init__(self, model: ir.Model) -> None:
        """Starts with the graph as it is."""
        self._graph = model.graph
        self._opset = model.opset_imports.get("", 1)
        self._count = 0

    def reading(self, value: ir.Value, axis: int, moments: tuple[Moment, ...]) -> Reading:
        """Returns the reading of a new output with the `moments` of the channels on `axis`."""
        sizes = dims(value) or ()
        axes = tuple(i for i in range(len(sizes)) if i not in (0, axis))
        averaged = tuple(sizes[i] for i in axes)
        shape = None
        if None in averaged:
            shape = self._output(self._node("Shape", [value], ir.DataType.INT64))
        if value.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            value = self._cast(value, ir.DataType.FLOAT)
        functions = [self._function(value, moment) for moment in moments]
        if axis == 1 and len(sizes) in _POOLED_RANKS and value.dtype == ir.DataType.FLOAT:
            windows = _windows(averaged)
            means = [self._pooled(function, averaged, windows) for function in functions]
            rows = self._node("Flatten", [self._node("Concat", means, axis=1)], axis=1)
        else:
            windows = ()
            means = [self._reduced(function, axes) for function in functions]
            rows = self._node("Concat", means, axis=min(axis, 1))
        channels = sizes[axis] or 0  # the size of an axis with channels is always known
        return Reading(self._output(rows), moments, channels, axes, averaged, shape, windows)

    def _function(self, value: ir.Value, moment: Moment) -> ir.Value:
        """Returns the function of `value` whose mean is `moment`."""
        if moment == "mean":
            return value
        if moment == "square":
            return self._node("Mul", [value, value])
        if moment == "positive":
            return self._node("Relu", [value])
        if value.dtype != ir.DataType.FLOAT:  # the runtime has no other HardSigmoid
            value = self._cast(value, ir.DataType.FLOAT)
        slope = _STEEP if moment == "above" else -_STEEP
        return self._node("HardSigmoid", [value], alpha=slope, beta=0.0)

    def _pooled(self, value: ir.Value, sizes: Shape, windows: Sequence[Window]) -> ir.Value:
        """Returns the mean over all spatial axes and the zeros beyond, (N, C, 1, ...)."""
        for window in windows:
            steps = list(zip(sizes, window, strict=True))
            over = [step - 1 if size is None else -size % step for size, step in steps]
            sizes = tuple(None if size is None else -(-size // step) for size, step in steps)
            value = self._node(
                "AveragePool",
                [value],
                kernel_shape=list(window),
                strides=list(window),
                pads=[*(0 for _ in over), *over],
                count_include_pad=1,
            )
        return self._node("GlobalAveragePool", [value])

    def _reduced(self, value: ir.Value, axes: tuple[int, ...]) -> ir.Value:
        """Returns the mean over `axes`, which are gone, in double."""
        if value.dtype != ir.DataType.DOUBLE:
            value = self._cast(value, ir.DataType.DOUBLE)
        if not axes:
            return value
        if self._opset < _AXES_AS_OPERAND:
            return self._node("ReduceMean", [value], axes=list(axes), keepdims=0)
        operand = new_initializer(self._graph, "onnxtrim.axes", np.array(axes, dtype=np.int64))
        return self._node("ReduceMean", [value, operand], keepdims=0)

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Returns `value` as `dtype`."""
        return self._node("Cast", [value], dtype, to=int(dtype))

    def _node(
        self,
        op_type: str,
        inputs: list[ir.Value],
        dtype: ir.DataType | None = None,
        **attributes: float | list[int],
    ) -> ir.Value:
        """Returns the output of a new node at the end of the graph."""
        self._count += 1
        kind = inputs[0].type if dtype is None else ir.TensorType(dtype)
        output = ir.Value(name=f"onnxtrim.tap.{self._count}", type=kind)
        attrs = [_attribute(name, value) for name, value in attributes.items()]
        self._graph.append(ir.Node("", op_type, inputs, attrs, outputs=[output]))
        return output

    def _output(self, value: ir.Value) -> str:
        """Returns the name of `value`, which becomes a graph output."""
        self._graph.outputs.append(value)
        return str(value.name)


def _attribute(name: str, value: float | list[int]) -> ir.Attr:
    """Returns an attribute; finding out what a value could be takes onnx-ir a millisecond."""
    if isinstance(value, list):
        return ir.AttrInt64s(name, value)
    return ir.AttrInt64(name, value) if isinstance(value, int) else ir.AttrFloat32(name, value)


def _windows(sizes: Shape) -> tuple[Window, ...]:
    """Returns the windows of each stage of pooling, until at most `_MANY` positions are left.

    Windows divide an axis evenly where they can; else the last one reaches over the edge.
    """
    few, many = (round(count ** (1 / len(sizes))) for count in (_FEW, _MANY))
    left = [_ANY_SIZE if size is None else size for size in sizes]
    windows = []
    while prod(left) > _MANY:
        window = tuple(_step(size, few, many) for size in left)
        left = [-(-size // step) for size, step in zip(left, window, strict=True)]
        windows.append(window)
    return tuple(windows)


def _step(size: int, few: int, many: int) -> int:
    """Returns the size of the windows on an axis of `size`."""
    if size <= many:
        return size
    return next((step for step in range(few, many + 1) if size % step == 0), few)
