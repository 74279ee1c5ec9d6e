"""Group normalisation: C / G neighbouring channels share a mean and a variance.

x (N, C, *s), scale and bias (C,), or (G,) before opset 21  ->  y (N, C, *s)

A group goes as a whole or not at all, for without one of its channels its mean would be another.
"""

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import name, sizes_of
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["GroupNormalization"]


class GroupNormalization(OpRule):
    """`GroupNormalization`; opset 21 gave every channel its own scale."""

    ops = (OpId("GroupNormalization", since=18),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the channels of a group together, and both vectors to channels or groups."""
        x, y = node.inputs[0], node.outputs[0]
        channels = rel.axis(x, 1)
        if not isinstance(channels, Fixed):
            groups = rel.block(channels, len(channels) // int_attr(node, "num_groups", 1))
            for vector in node.inputs[1:3]:
                per_channel = sizes_of(vector)[0] == len(channels)
                rel.same(rel.axis(vector, 0), channels if per_channel else groups)
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, channels)

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Sets `num_groups` to the groups that stay."""
        groups, x = int_attr(node, "num_groups", 1), name(node.inputs[0])
        stays = kept.indices(x, 1)
        if stays is not None:
            left = len(stays) * groups // len(kept.axes[x, 1])
            node.attributes["num_groups"] = ir.AttrInt64("num_groups", left)
