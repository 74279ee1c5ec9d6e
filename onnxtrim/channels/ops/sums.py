"""Where what a product makes is added to something else: a residual stream.

    t = a y + b + s        y: what the product makes; a, b: a normalisation in between; s: the rest

An error of s, which the product did not make, is one that it can make good: for what t should be,
y should be (t - s - b) / a.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.constants import constant, float_attr, int_attr
from onnxtrim.graph.shapes import dims

__all__ = ["Sum", "sum_behind"]

_STEPS = 3
_EPSILON = 1e-5
_LEAST = 1e-3
"""Of a: what is scaled down by more than that can make nothing good."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The tensor t that a tensor is added to, and what multiplies it before, a number a channel."""

    tensor: str
    scale: npt.NDArray[np.float64] | float


def sum_behind(model: ir.Model, name: str) -> Sum | None:
    """Returns the sum that a tensor goes into, through a normalisation or straight; None if none.

    Nobody else may read the tensor, and the other summand has its sizes.
    """
    value = next((v for node in model.graph for v in node.outputs if v.name == name), None)
    scale: npt.NDArray[np.float64] | float = 1.0
    for _ in range(_STEPS):
        uses = [] if value is None or value.is_graph_output() else list(value.uses())
        if value is None or len(uses) != 1:
            return None
        node, place = uses[0]
        if node.op_type == "BatchNormalization" and place == 0:
            factor = _factor(node)
            if factor is None:
                return None
            scale, value = scale * factor, node.outputs[0]
        elif node.op_type == "Add" and _beside(node, place):
            small = np.abs(scale).min() < _LEAST * max(float(np.abs(scale).max()), _LEAST)
            return None if small else Sum(str(node.outputs[0].name), scale)
        else:
            return None
    return None


def _factor(node: ir.Node) -> npt.NDArray[np.float64] | None:
    """Returns what a normalisation by constant statistics multiplies each channel by."""
    gamma, variance = constant(node.inputs[1]), constant(node.inputs[4])
    if gamma is None or variance is None or int_attr(node, "training_mode", 0):
        return None
    spread = variance.astype(np.float64) + float_attr(node, "epsilon", _EPSILON)
    return np.asarray(gamma / np.sqrt(spread), dtype=np.float64)


def _beside(node: ir.Node, place: int) -> bool:
    """Returns whether the other summand is computed, and of the same sizes but for open ones."""
    one, other = node.inputs[place], node.inputs[1 - place]
    if one is None or other is None or constant(other) is not None:
        return False
    return dims(one) is not None and dims(one) == dims(other)
