"""Transposition.

x (d0, ..., dn), perm  ->  y (d[perm[0]], ..., d[perm[n]])
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import sizes_of
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import ints_attr

__all__ = ["Transpose"]


class Transpose(OpRule):
    """`Transpose`; without `perm` the axes are reversed."""

    ops = (OpId("Transpose"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands every axis on to its new place."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(x))
        for target, axis in enumerate(ints_attr(node, "perm") or range(rank)[::-1]):
            rel.bind(y, target, rel.axis(x, axis))
