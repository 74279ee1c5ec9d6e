"""Reductions over some axes; the channels of the others pass through.

x (d0, d1, ...)  ->  y without the reduced axes, or with size 1 in their place
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import axes_of, freeze_all, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

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


def _reduced_axes(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    """Returns the reduced axes; None where they are computed."""
    axes = axes_of(node, rank)
    if axes == () and not int_attr(node, "noop_with_empty_axes", 0):
        return tuple(range(rank))
    return axes
