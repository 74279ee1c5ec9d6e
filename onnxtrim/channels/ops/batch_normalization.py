"""Batch normalisation: one scale, bias, mean and variance for each channel.

x (N, C, *s), scale (C,), bias (C,), mean (C,), var (C,)  ->  y (N, C, *s)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import bind_like, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["BatchNormalization"]


class BatchNormalization(OpRule):
    """`BatchNormalization`; its statistics outputs, where listed, are per channel too."""

    ops = (OpId("BatchNormalization", since=7),)

    def scale(self, node: ir.Node) -> ir.Value | None:
        """Returns gamma."""
        return node.inputs[1]

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the four vectors to the channels, which pass through."""
        x, y = node.inputs[0], node.outputs[0]
        channels = rel.axis(x, 1)
        for vector in node.inputs[1:5]:
            if len(sizes_of(vector)) == 1:
                rel.same(rel.axis(vector, 0), channels)
        bind_like(rel, y, x)
        for statistics in node.outputs[1:]:
            if statistics.name:
                rel.bind(statistics, 0, channels)
        if not int_attr(node, "spatial", 1):
            sentence = f"every position of {name(x)} has its own statistics"
            for axis in range(1, len(sizes_of(x))):
                rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
        if int_attr(node, "training_mode", 0) or len(node.outputs) > 1:
            for axis in range(len(sizes_of(x))):
                if axis != 1:
                    sentence = f"statistics are taken over axis {axis} of {name(x)}"
                    rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
