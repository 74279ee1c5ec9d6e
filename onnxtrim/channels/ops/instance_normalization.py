"""Instance normalisation: every channel of every sample by its own mean and variance.

x (N, C, *s), scale (C,), bias (C,)  ->  y (N, C, *s)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.relations import Relations

__all__ = ["InstanceNormalization"]


class InstanceNormalization(OpRule):
    """`InstanceNormalization`."""

    ops = (OpId("InstanceNormalization", since=6),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties both vectors to the channels, which pass through."""
        x, y = node.inputs[0], node.outputs[0]
        for vector in node.inputs[1:3]:
            rel.same(rel.axis(vector, 0), rel.axis(x, 1))
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, rel.axis(x, 1))
