"""Local response normalisation: every channel by the squares of its neighbours.

x (N, C, *s)  ->  y (N, C, *s)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import hand_on, name
from onnxtrim.channels.relations import Relations

__all__ = ["LRN"]


class LRN(OpRule):
    """`LRN`."""

    ops = (OpId("LRN"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the channels: without one, its neighbours would get others."""
        hand_on(rel, node, {1: f"LRN divides every channel of {name(node.inputs[0])} by others"})
