"""Matrix product with a constant matrix on the right.

    x (*b, K), w (K, M)  ->  y (*b, M)

A product of two computed tensors, or with the constant on the left, freezes what it touches.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import freeze_all, is_constant, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations

__all__ = ["MatMul"]


class MatMul(OpRule):
    """`MatMul` as a fully connected layer."""

    ops = (OpId("MatMul"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the last output axis to the matrix' columns and the last input axis to its rows."""
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        if not _is_layer(node):
            sentence = "a product without a constant matrix on its right"
            freeze_all(rel, x, Code.MIXED, sentence)
            freeze_all(rel, weight, Code.MIXED, sentence)
            return
        rel.same(rel.axis(weight, 0), rel.axis(x, -1))
        for axis in range(len(sizes_of(y)) - 1):
            rel.bind(y, axis, rel.axis(x, axis))
        rel.bind(y, -1, rel.axis(weight, 1))

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns outputs x K."""
        return math.prod(shapes[name(node.outputs[0])]) * shapes[name(node.inputs[0])][-1]

    def weight(self, node: ir.Node) -> Weight | None:
        """Returns the constant matrix."""
        value = node.inputs[1]
        if value is None or not _is_layer(node):
            return None
        return Weight(value, writes=1, reads=0)


def _is_layer(node: ir.Node) -> bool:
    """Returns whether a computed tensor meets a constant matrix on its right."""
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or weight is None:
        return False
    return is_constant(weight) and not is_constant(x) and len(sizes_of(weight)) == 2
