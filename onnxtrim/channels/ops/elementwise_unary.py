"""Functions of one element: y[i] = f(x[i]). Channels pass through.

f(0) need not be 0: a removed channel is one that nobody reads, not one that is zero.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import bind_like, freeze_all, name, optional
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant, float_attr
from onnxtrim.graph.shapes import dims

__all__ = ["Activation", "Clip", "PassThrough", "Relu", "bounds_of"]

_ACTIVATIONS = (
    "Celu",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Swish",
    "Tanh",
)
_PASS_THROUGH = (
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "CastLike",
    "Ceil",
    "Cos",
    "Cosh",
    "Dropout",
    "Erf",
    "Exp",
    "Floor",
    "Identity",
    "IsInf",
    "IsNaN",
    "Log",
    "Neg",
    "Not",
    "Reciprocal",
    "Round",
    "Shrink",
    "Sign",
    "Sin",
    "Sinh",
    "Sqrt",
    "Tan",
)


class PassThrough(OpRule):
    """Functions that are no activation; further outputs (the mask of `Dropout`) match too."""

    ops = tuple(OpId(op) for op in _PASS_THROUGH)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands every axis on; a further operand of `CastLike` only lends its type.

        A `Dropout` in training draws its noise for the whole tensor, so that no part can go.
        """
        if node.op_type == "Dropout" and _may_train(optional(node, 2)):
            sentence = f"{node.op_type} draws noise for all of {name(node.inputs[0])}"
            freeze_all(rel, node.inputs[0], Code.MIXED, sentence)
        for output in node.outputs:
            bind_like(rel, output, node.inputs[0])
        for lender in node.inputs[1:]:
            for axis in range(len(dims(lender) or ()) if lender is not None else 0):
                rel.axis(lender, axis)


def _may_train(mode: ir.Value | None) -> bool:
    """Returns whether the training mode of a `Dropout` is on, or not known to be off."""
    known = constant(mode)
    return mode is not None and (known is None or bool(known.any()))


class Activation(PassThrough):
    """Non-linearities after which activation statistics are taken."""

    ops = tuple(OpId(op) for op in _ACTIVATIONS)
    activation = True


class Relu(Activation):
    """`Relu`: the activation that APoZ was made for."""

    ops = (OpId("Relu"), OpId("ThresholdedRelu"))

    def zeroes(self, node: ir.Node) -> bool:
        """Returns True; a ThresholdedRelu only counts from a threshold of 0 on."""
        return node.op_type == "Relu" or float_attr(node, "alpha", 1.0) >= 0


class Clip(Activation):
    """`Clip`, as in Relu6; its bounds are attributes before opset 11 and scalars since."""

    ops = (OpId("Clip"),)

    def zeroes(self, node: ir.Node) -> bool:
        """Returns whether the lower bound is 0."""
        return _bound(node, 1, "min", -1.0) == 0.0


def bounds_of(node: ir.Node) -> tuple[float, float] | None:
    """Returns below and above which a node cuts off what it reads; None where it does more."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type != "Clip":
        return None
    low = _bound(node, 1, "min", -math.inf)
    high = _bound(node, 2, "max", math.inf)
    return None if low is None or high is None else (low, high)


def _bound(node: ir.Node, place: int, attribute: str, default: float) -> float | None:
    """Returns a bound of a Clip, an operand or an attribute; None where it is computed."""
    operand = optional(node, place)
    if operand is None:
        return float_attr(node, attribute, default)
    known = constant(operand)
    return float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None
