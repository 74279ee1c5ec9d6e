"""Axes of size 1 taken out and put in.

Squeeze    x (d0, 1, d1)  ->  y (d0, d1)
Unsqueeze  x (d0, d1)     ->  y (d0, 1, d1)
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import axes_of, freeze_all, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.edit import set_constant

__all__ = ["Squeeze", "Unsqueeze"]

_AXES_AS_OPERAND = 13


class Squeeze(OpRule):
    """`Squeeze`; without axes every axis of size 1 goes."""

    ops = (OpId("Squeeze"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands the other axes on; a single channel whose axis goes cannot be cut."""
        x, y = node.inputs[0], node.outputs[0]
        sizes = sizes_of(x)
        axes = axes_of(node, len(sizes))
        if axes == ():
            axes = tuple(axis for axis, size in enumerate(sizes) if size == 1)
        if axes is None or len(sizes) - len(axes) != len(sizes_of(y)):
            freeze_all(rel, x, Code.DYNAMIC_SIZE, "the axes to squeeze are computed")
            return
        for axis in axes:
            rel.freeze(rel.axis(x, axis), Code.MIXED, f"axis {axis} is squeezed away")
        kept = [axis for axis in range(len(sizes)) if axis not in axes]
        for target, axis in enumerate(kept):
            rel.bind(y, target, rel.axis(x, axis))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Names the axes where the node names none, lest a single channel that is left goes too."""
        x = node.inputs[0]
        sizes, cut = sizes_of(x), kept.cut_axes(name(x))
        if axes_of(node, len(sizes)) != () or all(len(stays) > 1 for stays in cut.values()):
            return
        axes = [axis for axis, size in enumerate(sizes) if size == 1 and axis not in cut]
        graph = node.graph
        if isinstance(graph, ir.Graph) and graph.opset_imports.get("", 1) >= _AXES_AS_OPERAND:
            set_constant(node, 1, f"{name(node.outputs[0])}.axes", np.array(axes, dtype=np.int64))
        else:
            node.attributes["axes"] = ir.AttrInt64s("axes", axes)


class Unsqueeze(OpRule):
    """`Unsqueeze`."""

    ops = (OpId("Unsqueeze"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands every axis on; the new ones hold one position."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(y))
        axes = axes_of(node, rank)
        if axes is None:
            freeze_all(rel, x, Code.DYNAMIC_SIZE, "the axes to insert are computed")
            return
        old = [axis for axis in range(rank) if axis not in axes]
        for axis, target in enumerate(old):
            rel.bind(y, target, rel.axis(x, axis))
