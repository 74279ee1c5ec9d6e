"""Reductions over some axes; the channels of the others pass through.

x (d0, d1, ...)  ->  y without the reduced axes, or with size 1 in their place
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_all, optional, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints, int_attr, ints_attr

__all__ = ["Reduce"]

_OPERATORS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)


class Reduce(OpRule):
    """Reductions; a channel axis that is reduced cannot lose channels."""

    ops = tuple(OpId(op) for op in _OPERATORS)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the reduced axes and hands the others on."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(x))
        reduced = _reduced_axes(node, rank)
        if reduced is None:
            freeze_all(rel, x, Code.DYNAMIC_SIZE, "the axes to reduce are computed")
            return
        keepdims = int_attr(node, "keepdims", 1)
        target = 0
        for axis in range(rank):
            if axis in reduced:
                sentence = f"axis {axis} is reduced to one figure"
                rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
                target += keepdims
            else:
                rel.bind(y, target, rel.axis(x, axis))
                target += 1


def _reduced_axes(node: ir.Node, rank: int) -> frozenset[int] | None:
    """Returns the reduced axes, from the attribute or the operand; None where they are computed."""
    axes = ints_attr(node, "axes")
    operand = optional(node, 1)
    if operand is not None:
        axes = constant_ints(operand)
        if axes is None:
            return None
    if not axes:
        empty = int_attr(node, "noop_with_empty_axes", 0)
        return frozenset() if empty else frozenset(range(rank))
    return frozenset(axis % rank for axis in axes)
