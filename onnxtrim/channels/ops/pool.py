"""Pooling over spatial axes, windowed or global.

x (N, C, *s)  ->  y (N, C, *s')
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations

__all__ = ["Pool"]

_OPERATORS = (
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "LpPool",
    "MaxPool",
)


class Pool(OpRule):
    """Pools; channels pass through one by one."""

    ops = tuple(OpId(op) for op in _OPERATORS)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands batch and channels on; indices of maxima count over the whole of x, and fix it."""
        x, y = node.inputs[0], node.outputs[0]
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, rel.axis(x, 1))
        for indices in node.outputs[1:]:
            if indices.uses() or indices.is_graph_output():
                sentence = "the indices of its maxima are used, and count over all channels"
                for axis in (0, 1):
                    rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
