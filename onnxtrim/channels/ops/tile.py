"""Repetition along axes.

x (d0, d1, ...), repeats (r0, r1, ...)  ->  y (d0 r0, d1 r1, ...)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_all, name, sizes_of, tiled
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints

__all__ = ["Tile"]


class Tile(OpRule):
    """`Tile`: a channel goes with all its copies, so that the repeats stay as they are."""

    ops = (OpId("Tile", since=6),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Repeats the ids of every axis as often as its positions."""
        x, y = node.inputs[0], node.outputs[0]
        repeats = constant_ints(node.inputs[1])
        if repeats is None:
            freeze_all(rel, x, Code.DYNAMIC_SIZE, f"how often {name(x)} is repeated is computed")
            return
        for axis in range(len(sizes_of(x))):
            rel.bind(y, axis, tiled(rel.axis(x, axis), repeats[axis]))
