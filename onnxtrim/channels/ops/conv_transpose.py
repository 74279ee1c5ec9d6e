"""Transposed convolution, dense, grouped and depthwise, over any number of spatial axes.

    x (N, C, *s), weight (C, M/g, *k), bias (M,)  ->  y (N, M, *s')

dense      g = 1: the weight's axis 0 reads x's channels, its axis 1 makes y's.
depthwise  g = C: every input channel makes M/g outputs of its own; `group` follows.
grouped    else: blocks of inputs, and of outputs, stay of equal size, so that equal positions of
           all blocks go together. The weight's axis 1 serves all blocks of outputs.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    freeze_if_computed,
    is_constant,
    name,
    optional,
    repeated,
    sizes_of,
    tiled,
)
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["ConvTranspose"]


class ConvTranspose(OpRule):
    """`ConvTranspose`; what comes out depends on every input channel of its block."""

    ops = (OpId("ConvTranspose"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the outputs to the weight's axis 1 and the inputs to its axis 0."""
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        groups = int_attr(node, "group", 1)
        given, used, made = rel.axis(x, 1), rel.axis(weight, 0), rel.axis(weight, 1)
        rel.same(used, given)
        if _is_depthwise(node):
            sentence = f"every input channel has its own share of axis 1 of {name(weight)}"
            rel.freeze(made, Code.MIXED, sentence)
            made = repeated(given, sizes_of(weight)[1] or 0)
        else:
            rel.same_across_blocks(used, groups)
            made = tiled(made, groups)
            freeze_if_computed(rel, weight, 0)
        bias = optional(node, 2)
        if bias is not None:
            rel.same(rel.axis(bias, 0), made)
        rel.bind(y, 0, rel.axis(x, 0))
        rel.bind(y, 1, made)

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Sets `group` of a depthwise one to the input channels that stay."""
        groups, weight = int_attr(node, "group", 1), name(node.inputs[1])
        channels = kept.axes.get((weight, 0))  # as many as before: the operand is cut by now
        if groups > 1 and channels is not None and len(channels) == groups:
            node.attributes["group"] = ir.AttrInt64("group", kept.size(weight, 0, groups))

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns inputs x (M/g) x kernel."""
        x, weight = shapes[name(node.inputs[0])], shapes[name(node.inputs[1])]
        return math.prod(x) * math.prod(weight[1:])

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the kernel; a depthwise one makes no channel axis of its own."""
        value = node.inputs[1]
        if value is None or not is_constant(value):
            return ()
        if _is_depthwise(node):
            return (Weight(value, writes=0, reads=None),)
        return (Weight(value, writes=1, reads=0, blocks=int_attr(node, "group", 1)),)


def _is_depthwise(node: ir.Node) -> bool:
    """Returns whether every input channel has kernels of its own."""
    groups = int_attr(node, "group", 1)
    return groups > 1 and sizes_of(node.inputs[1])[0] == groups
