"""Matrix product with broadcasting.

    a (*s, N, K), b (*s', K, M)  ->  y (*broadcast(s, s'), N, M)

A factor of one axis (K,) stands for a matrix of one row, or of one column, that y does not show.
The rows of y are those of a, its columns those of b, and the leading axes meet as in an
element-wise operator: heads that lie there go together. The inner axis is that of a weight if one
factor is constant; if both are computed (the scores of an attention), it cannot be cut.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    Axes,
    bearer,
    contract,
    factor_weights,
    name,
    relate_broadcast,
    sizes_of,
)
from onnxtrim.channels.ops.products import Product, matmul_product
from onnxtrim.channels.relations import Relations

__all__ = ["MatMul"]


class MatMul(OpRule):
    """`MatMul`, by a constant on either side or by none."""

    ops = (OpId("MatMul"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds rows, columns and leading axes, and ties the inner axes together."""
        a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
        left, right = _axes(node)
        contract(rel, node, left, right)
        if left[0] is not None:
            rel.bind(y, -1 if right[0] is None else -2, rel.axis(a, left[0]))
        if right[0] is not None:
            rel.bind(y, -1, rel.axis(b, right[0]))
        _relate_leading(node, rel)

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns outputs x K."""
        return math.prod(shapes[name(node.outputs[0])]) * shapes[name(node.inputs[0])][-1]

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the constant factor."""
        return factor_weights(node, *_axes(node))

    def product(self, node: ir.Node) -> Product | None:
        """Returns the node as a product, where its weight is a constant that nobody else reads."""
        return matmul_product(node)


def _axes(node: ir.Node) -> tuple[Axes, Axes]:
    """Returns the outer and the inner axis of a, and those of b."""
    a, b = (len(sizes_of(value)) for value in node.inputs)
    return (a - 2 if a > 1 else None, a - 1), (b - 1 if b > 1 else None, max(b - 2, 0))


def _relate_leading(node: ir.Node, rel: Relations) -> None:
    """Ties the axes before the last two of both factors, broadcast, and hands them on."""
    y = node.outputs[0]
    factors = [value for value in node.inputs if value is not None and len(sizes_of(value)) > 1]
    hidden = 2 - len(factors)  # axes of one element that y does not show
    sizes = sizes_of(y)[: len(sizes_of(y)) - 2 + hidden]
    leading = [(value, sizes_of(value)[:-2]) for value in factors]
    axes = [bearer(rel, leading, axis - len(sizes), sizes[axis]) for axis in range(len(sizes))]
    for value, own in leading:
        relate_broadcast(rel, value, axes, sizes, own)
    for axis, ids in enumerate(axes):
        rel.bind(y, axis, ids)
