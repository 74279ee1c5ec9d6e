"""Convolution, dense, grouped and depthwise, over any number of spatial axes.

    x (N, C, *s), weight (M, C/g, *k), bias (M,)  ->  y (N, M, *s')

dense      g = 1: x's channels are the weight's axis 1.
depthwise  C/g = 1: every input channel makes m = M/C outputs, which go with it; `group` follows.
grouped    else: each block of x's channels must lose the same positions, for the weight's axis 1
           serves all blocks; and so must each block of outputs, for blocks stay of equal size.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    blocked_channels,
    freeze_if_computed,
    is_constant,
    name,
    optional,
    repeated,
)
from onnxtrim.channels.ops.products import Product, conv_product
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr
from onnxtrim.graph.shapes import dims

__all__ = ["Conv"]


class Conv(OpRule):
    """`Conv`; what comes out depends on every input channel of its block."""

    ops = (OpId("Conv"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the outputs to the weight's axis 0 and the inputs to its axis 1."""
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        groups = int_attr(node, "group", 1)
        given, made, used = rel.axis(x, 1), rel.axis(weight, 0), rel.axis(weight, 1)
        if groups == 1:
            rel.same(used, given)
        elif _is_depthwise(node):
            rel.same(made, repeated(given, _multiplier(node)))
        else:
            rel.same(used, rel.same_across_blocks(given, groups))
            rel.same_across_blocks(made, groups)
        if not _is_depthwise(node):
            freeze_if_computed(rel, weight, 1)
        bias = optional(node, 2)
        if bias is not None:
            rel.same(rel.axis(bias, 0), made)
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, made)

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Sets `group` of a depthwise convolution to the input channels that stay."""
        if _is_depthwise(node):
            left = kept.size(name(node.inputs[0]), 1, int_attr(node, "group", 1))
            node.attributes["group"] = ir.AttrInt64("group", left)

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns outputs x (C/g) x kernel."""
        y, weight = shapes[name(node.outputs[0])], shapes[name(node.inputs[1])]
        return math.prod(y) * math.prod(weight[1:])

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the kernel; a depthwise one reads no channel axis of its own."""
        value = node.inputs[1]
        if value is None or not is_constant(value):
            return ()
        return (Weight(value, writes=0, reads=None if _is_depthwise(node) else 1),)

    def product(self, node: ir.Node) -> Product | None:
        """Returns the node as a product, where its weight is a constant that nobody else reads."""
        return conv_product(node)

    def blocked_axes(self, node: ir.Node) -> tuple[tuple[str, int], ...]:
        """Returns the channel axes of input and output."""
        return blocked_channels(node)


def _is_depthwise(node: ir.Node) -> bool:
    """Returns whether every input channel has kernels of its own."""
    sizes = dims(node.inputs[1]) if node.inputs[1] is not None else None
    return int_attr(node, "group", 1) > 1 and sizes is not None and sizes[1] == 1


def _multiplier(node: ir.Node) -> int:
    """Returns how many outputs a depthwise convolution makes of one input channel."""
    sizes = dims(node.inputs[1]) if node.inputs[1] is not None else None
    return ((sizes or (0,))[0] or 0) // int_attr(node, "group", 1)
