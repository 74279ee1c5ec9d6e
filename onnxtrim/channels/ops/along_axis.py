"""Operators that compute along one axis, so that every figure there depends on all others.

Channels on that axis cannot go; those on the others pass through.

x (d0, ..., da, ..., dn)  ->  y of the same axes; ArgMax and ArgMin leave one of size 1, or none
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_all, hand_on, name, optional, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints, int_attr

__all__ = ["AlongAxis", "ArgReduce", "CumSum", "SoftmaxBefore13"]


class AlongAxis(OpRule):
    """`Softmax` and its kin since opset 13, `LpNormalization`, `TopK`."""

    ops = (
        OpId("Hardmax", since=13),
        OpId("LogSoftmax", since=13),
        OpId("LpNormalization"),
        OpId("Softmax", since=13),
        OpId("TopK"),
    )

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axis and hands the others on."""
        axis = int_attr(node, "axis", -1) % max(len(sizes_of(node.inputs[0])), 1)
        hand_on(rel, node, {axis: _sentence(node, axis)})


class SoftmaxBefore13(OpRule):
    """`Softmax` and its kin as they were: over all axes from `axis` on."""

    ops = (OpId("Hardmax"), OpId("LogSoftmax"), OpId("Softmax"))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axes from `axis` on and hands the others on."""
        rank = len(sizes_of(node.inputs[0]))
        axis = int_attr(node, "axis", 1)
        first = axis + rank if axis < 0 else axis
        hand_on(rel, node, {axis: _sentence(node, axis) for axis in range(first, rank)})


class CumSum(OpRule):
    """`CumSum`; its axis is an operand."""

    ops = (OpId("CumSum", since=11), OpId("CumProd", since=26))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axis and hands the others on."""
        axis = constant_ints(optional(node, 1))
        if axis is None or len(axis) != 1:
            freeze_all(rel, node.inputs[0], Code.DYNAMIC_SIZE, "the axis to sum along is computed")
            return
        along = axis[0] % len(sizes_of(node.inputs[0]))
        hand_on(rel, node, {along: _sentence(node, along)})


class ArgReduce(OpRule):
    """`ArgMax` and `ArgMin`: positions of extremes."""

    ops = (OpId("ArgMax"), OpId("ArgMin"))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axis and hands the others on."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(x))
        reduced = int_attr(node, "axis", 0) % rank
        _freeze(rel, node, reduced)
        shift = 0 if int_attr(node, "keepdims", 1) else 1
        for axis in range(rank):
            if axis != reduced:
                rel.bind(y, axis - shift * (axis > reduced), rel.axis(x, axis))


def _freeze(rel: Relations, node: ir.Node, axis: int) -> None:
    """Freezes the axis of the input that `node` computes along."""
    rel.freeze(rel.axis(node.inputs[0], axis), Code.MIXED, _sentence(node, axis))


def _sentence(node: ir.Node, axis: int) -> str:
    """Returns why an axis cannot be cut."""
    return f"{node.op_type} compares all positions on axis {axis} of {name(node.inputs[0])}"
