"""General matrix product: alpha a' b' + beta c.

a (N, K) or (K, N) with transA, b (K, M) or (M, K) with transB, c broadcast to (N, M)
->  y (N, M)

The rows of y are those of a', its columns those of b'. The inner axis is that of a weight if one
factor is constant; if both are computed, it cannot be cut.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    Axes,
    contract,
    factor_weights,
    name,
    optional,
    relate_broadcast,
    sizes_of,
)
from onnxtrim.channels.ops.products import Product, gemm_product
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Gemm"]


class Gemm(OpRule):
    """`Gemm`, by a constant on either side."""

    ops = (OpId("Gemm", since=7),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds rows and columns to those of the factors, and ties the inner axes together."""
        a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
        left, right = _axes(node)
        contract(rel, node, left, right)
        made = rel.axis(a, left[0] or 0), rel.axis(b, right[0] or 0)
        rel.bind(y, 0, made[0])
        rel.bind(y, 1, made[1])
        c = optional(node, 2)
        if c is not None:
            relate_broadcast(rel, c, made, sizes_of(y))

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns N x M x K."""
        inner = shapes[name(node.inputs[1])][_axes(node)[1][1]]
        return math.prod(shapes[name(node.outputs[0])]) * inner

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the constant factor."""
        return factor_weights(node, *_axes(node))

    def product(self, node: ir.Node) -> Product | None:
        """Returns the node as a product, where its weight is a constant that nobody else reads."""
        return gemm_product(node)


def _axes(node: ir.Node) -> tuple[Axes, Axes]:
    """Returns the outer and the inner axis of a, and those of b."""
    return (
        (1, 0) if int_attr(node, "transA", 0) else (0, 1),
        (0, 1) if int_attr(node, "transB", 0) else (1, 0),
    )
