"""Flattening to a matrix.

x (d0, ..., d[a-1], d[a], ..., dn)  ->  y (d0 ... d[a-1], d[a] ... dn)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import merged, sizes_of
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Flatten"]


class Flatten(OpRule):
    """`Flatten`; a channel takes its spatial positions along."""

    ops = (OpId("Flatten"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Merges the axes before and from `axis` on."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(x))
        split = int_attr(node, "axis", 1)
        split = split + rank if split < 0 else split
        for target, axes in enumerate((range(split), range(split, rank))):
            if x is not None and len(axes) > 0:
                rel.bind(y, target, merged(rel, x, axes))
