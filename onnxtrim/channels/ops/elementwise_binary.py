"""Functions of two or more elements, with broadcasting from the right.

    a (..., C, ...), b (..., C or 1, ...), ...  ->  y (..., C, ...)

Before opset 7 operands were aligned by attributes; those versions are not described.
A residual Add is the same rule as a bias of shape (C, 1, 1): positions that meet go together.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import relate_broadcast, sizes_of
from onnxtrim.channels.relations import Channels, Fixed, Relations

__all__ = ["ElementwiseBinary"]

_OPERATORS = ("Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum")


class ElementwiseBinary(OpRule):
    """Arithmetic on tensors that broadcast to one shape."""

    ops = tuple(OpId(op, since=7) for op in _OPERATORS)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the operands to each other wherever their positions meet."""
        y = node.outputs[0]
        sizes = sizes_of(y)
        operands = [value for value in node.inputs if value is not None]
        axes = [
            _bearer(rel, operands, axis - len(sizes), sizes[axis]) for axis in range(len(sizes))
        ]
        for operand in operands:
            relate_broadcast(rel, operand, axes, sizes)
        for axis, ids in enumerate(axes):
            rel.bind(y, axis, ids)


def _bearer(rel: Relations, operands: list[ir.Value], axis: int, size: int | None) -> Channels:
    """Returns the ids of a result axis (counted from the end): those of an operand that spans it.

    A fixed axis wins, so that its reason travels on with the result.
    """
    spanning = [
        rel.axis(value, len(sizes_of(value)) + axis)
        for value in operands
        if len(sizes_of(value)) + axis >= 0 and sizes_of(value)[axis] == size
    ]
    fixed = [ids for ids in spanning if isinstance(ids, Fixed)]
    if fixed or not spanning:
        return fixed[0] if fixed else rel.axis(None, 0)
    return spanning[0]
