"""Normalisation over the last axes: their positions share a mean and a variance.

x (*b, *d), scale (*d), bias (*d)  ->  y (*b, *d), mean and 1/deviation (*b, 1, ...)

Scale and bias may be of any shape that broadcasts to x, with a figure for each position of *b too.

Without one of its channels the mean of the others would be another, so that a channel axis that is
normalised over cannot be cut.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import (
    axes_of,
    hand_on,
    name,
    relate_broadcast,
    sizes_of,
)
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["LayerNormalization", "MeanVarianceNormalization"]


class LayerNormalization(OpRule):
    """`LayerNormalization` and `RMSNormalization`."""

    ops = (OpId("LayerNormalization", since=17), OpId("RMSNormalization", since=23))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axes from `axis` on and hands the others on; scale and bias meet them all."""
        x = node.inputs[0]
        sizes = sizes_of(x)
        first = int_attr(node, "axis", -1) % len(sizes)
        hand_on(rel, node, {axis: _sentence(node, axis) for axis in range(first, len(sizes))})
        axes = [rel.axis(x, axis) for axis in range(len(sizes))]
        for operand in [value for value in node.inputs[1:] if value is not None]:
            relate_broadcast(rel, operand, axes, sizes)


class MeanVarianceNormalization(OpRule):
    """`MeanVarianceNormalization`, over batch and space unless it says otherwise."""

    ops = (OpId("MeanVarianceNormalization", since=9),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axes that it names and hands the others on."""
        rank = len(sizes_of(node.inputs[0]))
        axes = axes_of(node, rank) or tuple(axis for axis in (0, 2, 3) if axis < rank)
        hand_on(rel, node, {axis: _sentence(node, axis) for axis in axes})


def _sentence(node: ir.Node, axis: int) -> str:
    """Returns why an axis cannot be cut."""
    return f"{node.op_type} takes mean and variance over axis {axis} of {name(node.inputs[0])}"
