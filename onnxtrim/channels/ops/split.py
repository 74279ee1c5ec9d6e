"""Splitting: runs of positions on one axis, each to an output of its own.

x (..., n1 + n2 + ..., ...)  ->  y1 (..., n1, ...), y2 (..., n2, ...), ...
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import chosen, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr
from onnxtrim.graph.edit import set_constant

__all__ = ["Split", "SplitBefore13"]


class Split(OpRule):
    """`Split` with its sizes as an operand, or into equal parts."""

    ops = (OpId("Split", since=13),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Gives every output its share of the ids; the other axes are handed on."""
        x = node.inputs[0]
        axis = int_attr(node, "axis", 0) % len(sizes_of(x))
        widths = [sizes_of(output)[axis] for output in node.outputs]
        known = None not in (sizes_of(x)[axis], *widths)
        if not known:
            sentence = f"{name(x)} is split at places that are computed"
            rel.freeze(rel.axis(x, axis), Code.DYNAMIC_SIZE, sentence)
        start = 0
        for output, width in zip(node.outputs, widths, strict=True):
            places = np.arange(start, start + (width or 0))
            start += width or 0
            for other in range(len(sizes_of(x))):
                ids = rel.axis(x, other)
                if other != axis:
                    rel.bind(output, other, ids)
                elif known:
                    rel.bind(output, axis, chosen(ids, places))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the widths that are left; equal parts may no longer be equal."""
        widths = _widths(node, kept)
        if widths is not None:
            set_constant(node, 1, f"{node.outputs[0].name}.split", np.array(widths, dtype=np.int64))
            node.attributes.pop("num_outputs", None)


class SplitBefore13(Split):
    """`Split` with its sizes as an attribute, or into equal parts."""

    ops = (OpId("Split", since=2),)

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the widths that are left into the attribute."""
        widths = _widths(node, kept)
        if widths is not None:
            node.attributes["split"] = ir.AttrInt64s("split", widths)


def _widths(node: ir.Node, kept: Kept) -> list[int] | None:
    """Returns the widths of the outputs after the cut; None where nothing is cut."""
    x = node.inputs[0]
    axis = int_attr(node, "axis", 0) % len(sizes_of(x))
    if kept.indices(name(x), axis) is None:
        return None
    return [kept.size(name(y), axis, sizes_of(y)[axis] or 0) for y in node.outputs]
