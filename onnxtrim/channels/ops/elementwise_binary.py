"""Functions of two or more elements, with broadcasting from the right.

    a (..., C, ...), b (..., C or 1, ...), ...  ->  y (..., C, ...)

Before opset 7 operands were aligned by attributes; those versions are not described.
A residual Add is the same rule as a bias of shape (C, 1, 1): positions that meet go together.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import bearer, relate_broadcast, sizes_of
from onnxtrim.channels.relations import Relations

__all__ = ["ElementwiseBinary", "PRelu"]

_OPERATORS = (
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
)


class ElementwiseBinary(OpRule):
    """Arithmetic on tensors that broadcast to one shape."""

    ops = tuple(OpId(op, since=7) for op in _OPERATORS)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the operands to each other wherever their positions meet."""
        y = node.outputs[0]
        sizes = sizes_of(y)
        operands = [(value, sizes_of(value)) for value in node.inputs if value is not None]
        axes = [bearer(rel, operands, axis - len(sizes), sizes[axis]) for axis in range(len(sizes))]
        for operand, _ in operands:
            relate_broadcast(rel, operand, axes, sizes)
        for axis, ids in enumerate(axes):
            rel.bind(y, axis, ids)


class PRelu(ElementwiseBinary):
    """`PRelu`: a learnt slope, broadcast to the input, for what is negative."""

    ops = (OpId("PRelu", since=7),)
    activation = True
