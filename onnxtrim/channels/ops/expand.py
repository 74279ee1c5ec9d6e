"""One value for many positions.

Expand           x (d0, 1, d2), shape (e0, e1, e2)  ->  y broadcast(d, e)
ConstantOfShape  shape (e0, e1, ...)                ->  y (e0, e1, ...)

What an axis of size 1 is stretched to are copies: each can go without the others, so they get ids
of their own and the shape is written anew.
"""

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import name, sizes_of
from onnxtrim.channels.ops.targets import rewrite_target
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations

__all__ = ["ConstantOfShape", "Expand"]


class Expand(OpRule):
    """`Expand`."""

    ops = (OpId("Expand", since=8),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands on what keeps its size; copies get ids of their own."""
        x, y = node.inputs[0], node.outputs[0]
        own, sizes = sizes_of(x), sizes_of(y)
        new = len(sizes) - len(own)
        for axis, size in enumerate(sizes):
            if axis >= new and own[axis - new] == size:
                rel.bind(y, axis, rel.axis(x, axis - new))
            elif axis >= new and size is None:
                sentence = f"how far {name(x)} is stretched is computed"
                rel.freeze(rel.axis(x, axis - new), Code.DYNAMIC_SIZE, sentence)
            elif size is not None and (axis < new or own[axis - new] == 1):
                rel.bind(y, axis, rel.fresh(size))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the new widths into the shape; 1 (as it is) says them already."""
        rank, count = len(sizes_of(node.outputs[0])), sizes_of(node.inputs[1])[0]
        if count:  # a shape may name the last axes only, or none
            rewrite_target(node, 1, kept, tuple(range(rank - count, rank)))


class ConstantOfShape(OpRule):
    """`ConstantOfShape`."""

    ops = (OpId("ConstantOfShape", since=9),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Gives every axis of known size ids of its own."""
        y = node.outputs[0]
        for axis, size in enumerate(sizes_of(y)):
            if size is not None:
                rel.bind(y, axis, rel.fresh(size))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the new widths into the shape."""
        rewrite_target(node, 0, kept)
