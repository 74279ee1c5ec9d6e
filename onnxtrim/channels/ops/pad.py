"""Padding on any axis.

x (..., n, ...), pads (begins..., ends...)  ->  y (..., begin + n + end, ...)

On the channel axis padding makes channels from nowhere (the shortcut of a CIFAR ResNet): they get
ids of their own, and how many are padded is written anew. Negative pads take channels away.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import axes_of, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.graph.constants import constant_ints, ints_attr, string_attr
from onnxtrim.graph.edit import replace_constant

__all__ = ["Pad", "PadBefore11"]

_Amounts = dict[int, tuple[int, int]]


class Pad(OpRule):
    """`Pad` with its amounts as an operand."""

    ops = (OpId("Pad", since=11),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands unpadded axes on, and gives padded channels ids of their own."""
        x, y = node.inputs[0], node.outputs[0]
        rank = len(sizes_of(x))
        amounts, padded = self.amounts(node), self.padded_axes(node)
        for axis in range(rank):
            ids = rel.axis(x, axis)
            begin, end = (amounts or {}).get(axis, (0, 0))
            if amounts is None and (padded is None or axis in padded):
                rel.freeze(ids, Code.DYNAMIC_SIZE, f"how far {name(x)} is padded is computed")
            elif isinstance(ids, Fixed) or (begin, end) == (0, 0):
                rel.bind(y, axis, ids)
            elif string_attr(node, "mode", "constant") != "constant":
                rel.freeze(ids, Code.MIXED, f"channels of {name(x)} are padded with each other")
            else:
                left = ids[max(-begin, 0) : len(ids) - max(-end, 0)]
                parts = rel.fresh(max(begin, 0)), left, rel.fresh(max(end, 0))
                rel.bind(y, axis, np.concatenate(parts))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes how much of the padding, and of what it takes away, is left."""
        amounts = self.amounts(node) or {}
        mended = {
            axis: _mended(node, axis, begin, end, kept) for axis, (begin, end) in amounts.items()
        }
        if mended != amounts:
            pairs = list(mended.values())
            self.write(node, [begin for begin, _ in pairs] + [end for _, end in pairs])

    def padded_axes(self, node: ir.Node) -> tuple[int, ...] | None:
        """Returns the axes that the amounts are for; None where they are computed."""
        rank = len(sizes_of(node.inputs[0]))
        axes = axes_of(node, rank, 3)
        return tuple(range(rank)) if axes == () else axes

    def amounts(self, node: ir.Node) -> _Amounts | None:
        """Returns what is added before and after, by axis; None where it is computed."""
        axes, pads = self.padded_axes(node), self.pads(node)
        if pads is None or axes is None:
            return None
        return dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))

    def pads(self, node: ir.Node) -> tuple[int, ...] | None:
        """Returns all begins, then all ends."""
        return constant_ints(node.inputs[1])

    def write(self, node: ir.Node, pads: list[int]) -> None:
        """Gives the node new amounts."""
        replace_constant(node, 1, np.array(pads, dtype=np.int64))


class PadBefore11(Pad):
    """`Pad` with its amounts as an attribute."""

    ops = (OpId("Pad", since=2),)

    def padded_axes(self, node: ir.Node) -> tuple[int, ...] | None:
        """Returns all axes."""
        return tuple(range(len(sizes_of(node.inputs[0]))))

    def pads(self, node: ir.Node) -> tuple[int, ...] | None:
        """Returns all begins, then all ends."""
        return ints_attr(node, "pads")

    def write(self, node: ir.Node, pads: list[int]) -> None:
        """Gives the node new amounts."""
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def _mended(node: ir.Node, axis: int, begin: int, end: int, kept: Kept) -> tuple[int, int]:
    """Returns what is added before and after once channels are gone."""
    made, given = kept.mask(name(node.outputs[0]), axis), kept.mask(name(node.inputs[0]), axis)
    if made is None or given is None:
        return begin, end
    before = made[:begin].sum() if begin >= 0 else -given[:-begin].sum()
    after = made[len(made) - end :].sum() if end >= 0 else -given[len(given) + end :].sum()
    return int(before), int(after)
