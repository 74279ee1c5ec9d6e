"""Flattening to a matrix.

x (d0, ..., d[a-1], d[a], ..., dn)  ->  y (d0 ... d[a-1], d[a] ... dn)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import sizes_of
from onnxtrim.channels.ops.runs import relate_runs
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Flatten"]


class Flatten(OpRule):
    """`Flatten`; a channel takes its spatial positions along."""

    ops = (OpId("Flatten"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Merges the axes before and from `axis` on."""
        x, y = node.inputs[0], node.outputs[0]
        axes = list(range(len(sizes_of(x))))
        border = int_attr(node, "axis", 1)
        border = border + len(axes) if border < 0 else border
        relate_runs(rel, x, y, [(axes[:border], [0]), (axes[border:], [1])])
