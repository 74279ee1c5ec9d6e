"""Channels rearranged into space, and back; b is the block size.

DepthToSpace  x (N, C b^2, H, W) -> y (N, C, bH, bW). The channels are (b, b, C) in mode DCR, so
              that equal positions of b^2 blocks go together; (C, b, b) in mode CRD: neighbours do.
SpaceToDepth  x (N, C, bH, bW) -> y (N, b^2 C, H, W), with the same two orders in y.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import repeated, tiled
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr, string_attr

__all__ = ["DepthToSpace", "SpaceToDepth"]


class DepthToSpace(OpRule):
    """`DepthToSpace`; before opset 11 always DCR."""

    ops = (OpId("DepthToSpace"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the channels of y to the b^2 channels of x each is made of."""
        x, y = node.inputs[0], node.outputs[0]
        share, ids = int_attr(node, "blocksize", 1) ** 2, rel.axis(x, 1)
        in_rows = string_attr(node, "mode", "DCR") == "CRD"
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, rel.block(ids, share) if in_rows else rel.same_across_blocks(ids, share))


class SpaceToDepth(OpRule):
    """`SpaceToDepth`; before opset 28 always DCR."""

    ops = (OpId("SpaceToDepth"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the b^2 channels of y that each channel of x makes to it."""
        x, y = node.inputs[0], node.outputs[0]
        share, ids = int_attr(node, "blocksize", 1) ** 2, rel.axis(x, 1)
        in_rows = string_attr(node, "mode", "DCR") == "CRD"
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, repeated(ids, share) if in_rows else tiled(ids, share))
