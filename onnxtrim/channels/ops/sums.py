"""What becomes of what a product makes: it is scaled, added to something, and cut off.

    t = a y + b + s        y: what the product makes; a, b: a normalisation in between; s: the rest
    r = min(max(t, l), h)  of which an activation leaves that

An error of s, which the product did not make, is one that it can make good: for what t should be,
y should be (t - s - b) / a. And t need not be what it was where the activation cuts it off.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.channels.ops.elementwise_unary import bounds_of
from onnxtrim.graph.constants import constant, float_attr, int_attr
from onnxtrim.graph.shapes import dims

__all__ = ["Sum", "sum_behind"]

_STEPS = 3
_EPSILON = 1e-5
_LEAST = 1e-3
"""Of a: what is scaled down by more than that can make nothing good."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What a tensor goes into.

    Attributes:
        tensor: t, the name of the sum; of one summand where an activation follows at once.
        scale: what multiplies it before, a number a channel.
        low: below which an activation cuts t off, if one alone reads it.
        high: above which it does.
    """

    tensor: str
    scale: npt.NDArray[np.float64] | float
    low: float = -math.inf
    high: float = math.inf

    @property
    def bounded(self) -> bool:
        """Returns whether something is cut off."""
        return self.low > -math.inf or self.high < math.inf


def sum_behind(model: ir.Model, name: str) -> Sum | None:
    """Returns the sum that a tensor goes into, through a normalisation or straight; None if none.

    Nobody else may read the tensor, and the other summand has its sizes.
    """
    value = next((v for node in model.graph for v in node.outputs if v.name == name), None)
    scale: npt.NDArray[np.float64] | float = 1.0
    for _ in range(_STEPS):
        use = None if value is None else _only_use(value)
        if value is None or use is None:
            return None
        node, place = use
        if node.op_type == "BatchNormalization" and place == 0:
            factor = _factor(node)
            if factor is None:
                return None
            scale, value = scale * factor, node.outputs[0]
        elif node.op_type == "Add" and constant(node.inputs[1 - place]) is not None:
            value = node.outputs[0]
        elif node.op_type == "Add" and _beside(node, place):
            return _sum(node.outputs[0], scale)
        elif bounds_of(node) is not None:
            return _sum(value, scale)
        else:
            return None
    return None


def _only_use(value: ir.Value) -> tuple[ir.Node, int] | None:
    """Returns the node that alone reads a tensor, and as which operand."""
    uses = [] if value.is_graph_output() else list(value.uses())
    return (uses[0][0], uses[0][1]) if len(uses) == 1 else None


def _sum(value: ir.Value, scale: npt.NDArray[np.float64] | float) -> Sum | None:
    """Returns a sum, and what is cut off of it; None where its summand is next to nothing."""
    if np.abs(scale).min() < _LEAST * max(float(np.abs(scale).max()), _LEAST):
        return None
    use = _only_use(value)
    low, high = (None if use is None else bounds_of(use[0])) or (-math.inf, math.inf)
    return Sum(str(value.name), scale, low, high)


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
