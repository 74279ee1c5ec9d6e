"""Quantisation: per tensor, or with one scale and zero point for each position of an axis.

    x (..., C, ...), scale () or (C,), zero point likewise  ->  y (..., C, ...)

With `block_size` B there is one for each B neighbours on the axis: scale (..., C / B, ...). That
axis is frozen; the others are those of x.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import bind_like, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Quantize"]


class Quantize(OpRule):
    """`QuantizeLinear` and `DequantizeLinear`."""

    ops = (OpId("QuantizeLinear", since=10), OpId("DequantizeLinear", since=10))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands every axis on; scales and zero points along one go with its channels."""
        x, y = node.inputs[0], node.outputs[0]
        sizes = sizes_of(x)
        bind_like(rel, y, x)
        if not sizes:
            return
        axis = int_attr(node, "axis", 1) % len(sizes)
        if int_attr(node, "block_size", 0):
            sentence = f"axis {axis} of {name(x)} is quantised in blocks"
            rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
            for operand in node.inputs[1:3]:
                for other in set(range(len(sizes))) - {axis} if operand is not None else ():
                    rel.same(rel.axis(operand, other), rel.axis(x, other))
            return
        for operand in node.inputs[1:3]:
            if operand is not None and sizes_of(operand) == (sizes[axis],):
                rel.same(rel.axis(operand, 0), rel.axis(x, axis))
