"""General matrix product: alpha x' w' + beta c.

x (N, K) or (K, N) with transA, w (K, M) or (M, K) with transB, c broadcast to (N, M)
->  y (N, M)
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    is_constant,
    name,
    optional,
    relate_broadcast,
    sizes_of,
)
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Gemm"]


class Gemm(OpRule):
    """`Gemm` by a constant right-hand side."""

    ops = (OpId("Gemm", since=7),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the outputs to the weight's M axis and the inputs to its K axis."""
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        transposed = int_attr(node, "transB", 0)
        rows, inner = (1, 0) if int_attr(node, "transA", 0) else (0, 1)
        read, made = rel.axis(weight, transposed), rel.axis(weight, 1 - transposed)
        if weight is None or not is_constant(weight):
            for ids in (rel.axis(x, inner), read, made):
                rel.freeze(ids, Code.MIXED, "both factors are computed")
        rel.same(read, rel.axis(x, inner))
        rel.bind(y, 0, rel.axis(x, rows))
        rel.bind(y, 1, made)
        bias = optional(node, 2)
        if bias is not None:
            relate_broadcast(rel, bias, (rel.axis(y, 0), made), sizes_of(y))

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns N x M x K."""
        weight = shapes[name(node.inputs[1])]
        inner = weight[int_attr(node, "transB", 0)]
        return math.prod(shapes[name(node.outputs[0])]) * inner

    def weight(self, node: ir.Node) -> Weight | None:
        """Returns the right-hand side."""
        value = node.inputs[1]
        if value is None or not is_constant(value):
            return None
        transposed = int_attr(node, "transB", 0)
        return Weight(value, writes=1 - transposed, reads=transposed)
