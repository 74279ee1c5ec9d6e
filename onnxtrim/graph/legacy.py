"""Operators that ONNX withdrew and ONNX Runtime still runs, said in standard ones.

ImageScaler  y = scale x + bias[c]              Mul, Add
Affine       y = alpha x + beta                 Mul, Add
Crop         border (left, top, right, bottom)  Slice of the last two axes
             scale (height, width), if given    ... from (top, left) on

Neither the checker nor shape inference knows the old ones, so nothing behind them could be cut.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.constants import float_attr, ints_attr
from onnxtrim.graph.edit import free_name, new_initializer, substitute

__all__ = ["replace_withdrawn"]

_TO_THE_END = 2**31 - 1
_BOUNDS_AS_OPERANDS = 10


def replace_withdrawn(graph: ir.Graph) -> None:
    """Puts standard operators in the place of the withdrawn ones of `graph`."""
    for node in list(graph):
        replace = _REPLACEMENTS.get(node.op_type) if node.domain == "" else None
        if replace is not None and node.inputs[0] is not None:
            replace(graph, node, node.inputs[0])


def _replace_image_scaler(graph: ir.Graph, node: ir.Node, x: ir.Value) -> None:
    """Writes scale x + bias[c]."""
    bias = np.array(node.attributes["bias"].as_floats(), dtype=np.float32).reshape(-1, 1, 1)
    _replace_affine_map(graph, node, x, float_attr(node, "scale", 1.0), bias)


def _replace_affine(graph: ir.Graph, node: ir.Node, x: ir.Value) -> None:
    """Writes alpha x + beta."""
    beta = np.array(float_attr(node, "beta", 0.0), dtype=np.float32)
    _replace_affine_map(graph, node, x, float_attr(node, "alpha", 1.0), beta)


def _replace_affine_map(
    graph: ir.Graph, node: ir.Node, x: ir.Value, factor: float, term: npt.NDArray[np.float32]
) -> None:
    """Writes factor x + term."""
    name = str(node.outputs[0].name)
    scale = new_initializer(graph, f"{name}.scale", np.array(factor, dtype=np.float32))
    scaled = ir.Value(name=free_name(graph, f"{name}.scaled"))
    product = ir.Node("", "Mul", [x, scale], outputs=[scaled])
    graph.insert_before(node, product)
    substitute(node, "Add", [scaled, new_initializer(graph, f"{name}.bias", term)])


def _replace_crop(graph: ir.Graph, node: ir.Node, x: ir.Value) -> None:
    """Writes the part of the last two axes that lies within the border."""
    left, top, right, bottom = ints_attr(node, "border") or (0, 0, 0, 0)
    ends = [-bottom or _TO_THE_END, -right or _TO_THE_END]
    if sizes := ints_attr(node, "scale"):
        ends = [top + sizes[0], left + sizes[1]]
    bounds = {"starts": [top, left], "ends": ends, "axes": [2, 3]}
    if graph.opset_imports.get("", 1) < _BOUNDS_AS_OPERANDS:
        attributes = [ir.AttrInt64s(name, values) for name, values in bounds.items()]
        substitute(node, "Slice", [x], attributes)
        return
    operands = [
        new_initializer(graph, f"{node.outputs[0].name}.{name}", np.array(values, dtype=np.int64))
        for name, values in bounds.items()
    ]
    substitute(node, "Slice", [x, *operands])


_REPLACEMENTS: dict[str, Callable[[ir.Graph, ir.Node, ir.Value], None]] = {
    "Affine": _replace_affine,
    "Crop": _replace_crop,
    "ImageScaler": _replace_image_scaler,
}
