"""Resampling in space.

x (N, C, *s), roi, scales or sizes  ->  y (N, C, *s')

An axis is handed on where its scale is 1 (given as a scale, or as the size it has already). A size
that is given for the channels is written anew.
"""

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import name, optional, sizes_of
from onnxtrim.channels.ops.targets import rewrite_target
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant, ints_attr, string_attr

__all__ = ["Resize", "ResizeBefore11", "Upsample", "corrects_sizes"]


class Resize(OpRule):
    """`Resize` by scales (operand 2) or to sizes (operand 3)."""

    ops = (OpId("Resize", since=11),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands on what is not resized; channels that may be cannot be cut."""
        x, y = node.inputs[0], node.outputs[0]
        resized = _axes(node)
        scales = _scales(optional(node, 2), len(resized))
        for axis, size in enumerate(sizes_of(x)):
            still = axis not in resized
            if not still and corrects_sizes(node):
                scale = None if scales is None else scales[resized.index(axis)]
                still = scale == 1.0 or (scale is None and self._same_size(node, axis, size))
            if still:
                rel.bind(y, axis, rel.axis(x, axis))
            else:
                sentence = f"axis {axis} of {name(x)} is resized"
                rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)

    def _same_size(self, node: ir.Node, axis: int, size: int | None) -> bool:
        """Returns whether sizes are given, and that of an axis is the one it has."""
        return optional(node, 3) is not None and sizes_of(node.outputs[0])[axis] == size is not None

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the new widths into the sizes, if there are sizes that widths can be among."""
        if optional(node, 3) is not None and corrects_sizes(node):
            rewrite_target(node, 3, kept, _axes(node))


class ResizeBefore11(OpRule):
    """`Resize` and `Upsample` by scales (operand 1)."""

    ops = (OpId("Resize", since=10), OpId("Upsample", since=9))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands on every axis whose scale is 1."""
        x = node.inputs[0]
        _relate_scales(node, rel, _scales(node.inputs[1], len(sizes_of(x))))


class Upsample(OpRule):
    """`Upsample` by scales that are an attribute."""

    ops = (OpId("Upsample", since=7),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands on every axis whose scale is 1."""
        _relate_scales(node, rel, tuple(node.attributes["scales"].as_floats()))


def _relate_scales(node: ir.Node, rel: Relations, scales: tuple[float, ...] | None) -> None:
    """Hands on every axis whose scale is 1, and freezes the others."""
    x, y = node.inputs[0], node.outputs[0]
    for axis in range(len(sizes_of(x))):
        if scales is not None and scales[axis] == 1.0:
            rel.bind(y, axis, rel.axis(x, axis))
        else:
            rel.freeze(rel.axis(x, axis), Code.MIXED, f"axis {axis} of {name(x)} is resized")


def _axes(node: ir.Node) -> tuple[int, ...]:
    """Returns the axes that scales or sizes are given for."""
    rank = len(sizes_of(node.inputs[0]))
    return tuple(axis % rank for axis in ints_attr(node, "axes") or range(rank))


def _scales(value: ir.Value | None, count: int) -> tuple[float, ...] | None:
    """Returns constant scales; None where they are computed or left out."""
    array = constant(value)
    return None if array is None or array.size != count else tuple(float(s) for s in array)


def corrects_sizes(node: ir.Node) -> bool:
    """Returns whether the size of an axis tells its scale by itself, and is written anew."""
    mode = string_attr(node, "coordinate_transformation_mode", "half_pixel")
    policy = string_attr(node, "keep_aspect_ratio_policy", "stretch")
    return mode != "tf_crop_and_resize" and policy == "stretch"
