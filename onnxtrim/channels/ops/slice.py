"""Slicing: on some axes the positions start, start + step, ... before end.

x (..., n, ...)  ->  y (..., ceil((end - start) / step), ...)

The ids of y are those of x at these positions. For a step other than 1 or -1, what lies between two
chosen positions goes together with the first of them: so the step stays right after any cut.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import chosen, name, optional, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Fixed, Ids, Relations
from onnxtrim.graph.constants import constant_ints, ints_attr
from onnxtrim.graph.edit import replace_constant

__all__ = ["Slice", "SliceBefore10"]

_BEFORE_THE_START = -(2**31) + 1
"""An end that a negative step never reaches, in 32 bits too."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is taken of one axis; None stands for bounds that the graph computes."""

    axis: int
    start: int | None
    end: int | None
    step: int | None

    def places(self, length: int | None) -> Ids | None:
        """Returns the positions that are taken of `length`; None where they are not known."""
        if None in (self.start, self.end, self.step, length):
            return None
        bounds = slice(self.start, self.end, self.step).indices(length or 0)
        return np.arange(*bounds, dtype=np.int64)


class Slice(OpRule):
    """`Slice` with its bounds as operands."""

    ops = (OpId("Slice", since=10),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds every axis to the positions that are taken of it."""
        x, y = node.inputs[0], node.outputs[0]
        parts = self.parts(node)
        for axis, size in enumerate(sizes_of(x)):
            ids = rel.axis(x, axis)
            mine = [part for part in parts or () if part.axis == axis]
            places = mine[0].places(size) if mine else None
            if isinstance(ids, Fixed) or (parts is not None and not mine):
                rel.bind(y, axis, ids)
            elif places is None:
                sentence = f"{name(x)} is sliced at places that are computed"
                rel.freeze(ids, Code.DYNAMIC_SIZE, sentence)
            else:
                _tie_gaps(rel, ids, places)
                rel.bind(y, axis, chosen(ids, places))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the bounds anew where positions before them are gone."""
        parts = self.parts(node) or []
        mended = [_mended(part, name(node.inputs[0]), kept) for part in parts]
        if mended != parts:
            starts, ends = [part.start or 0 for part in mended], [part.end or 0 for part in mended]
            self.write(node, starts, ends)

    def parts(self, node: ir.Node) -> list[_Part] | None:
        """Returns what is taken of each axis that is named; None where these are not known."""
        starts, ends = constant_ints(node.inputs[1]), constant_ints(node.inputs[2])
        axes, steps = optional(node, 3), optional(node, 4)
        count = sizes_of(node.inputs[1])[0] if axes is None else sizes_of(axes)[0]
        if count is None:
            return None
        named = tuple(range(count)) if axes is None else constant_ints(axes)
        paces = (1,) * count if steps is None else constant_ints(steps)
        if named is None:
            return None
        unknown = (None,) * count
        columns = zip(named, starts or unknown, ends or unknown, paces or unknown, strict=True)
        rank = len(sizes_of(node.inputs[0]))
        return [_Part(axis % rank, *bounds) for axis, *bounds in columns]

    def write(self, node: ir.Node, starts: list[int], ends: list[int]) -> None:
        """Gives the node new bounds."""
        replace_constant(node, 1, np.array(starts, dtype=np.int64))
        replace_constant(node, 2, np.array(ends, dtype=np.int64))


class SliceBefore10(Slice):
    """`Slice` with its bounds as attributes."""

    ops = (OpId("Slice"),)

    def parts(self, node: ir.Node) -> list[_Part] | None:
        """Returns what is taken of each axis that is named."""
        starts, ends = ints_attr(node, "starts") or (), ints_attr(node, "ends") or ()
        axes, rank = ints_attr(node, "axes") or range(len(starts)), len(sizes_of(node.inputs[0]))
        return [_Part(a % rank, s, e, 1) for a, s, e in zip(axes, starts, ends, strict=True)]

    def write(self, node: ir.Node, starts: list[int], ends: list[int]) -> None:
        """Gives the node new bounds."""
        node.attributes["starts"] = ir.AttrInt64s("starts", starts)
        node.attributes["ends"] = ir.AttrInt64s("ends", ends)


def _tie_gaps(rel: Relations, ids: Ids, places: Ids) -> None:
    """States that what lies between two chosen positions goes with the first of them."""
    gap = abs(int(places[1] - places[0])) if len(places) > 1 else 1
    direction = 1 if len(places) < 2 or places[1] > places[0] else -1
    for distance in range(1, gap):
        rel.same(ids[places[:-1]], ids[places[:-1] + direction * distance])


def _mended(part: _Part, x: str, kept: Kept) -> _Part:
    """Returns the bounds that take what is left of the positions that `part` takes."""
    stays = kept.mask(x, part.axis)
    places = part.places(None if stays is None else len(stays))
    if stays is None or places is None or stays.all():
        return part
    if not stays[places].any():
        return replace(part, start=0, end=0)
    forward = (part.step or 1) > 0
    # Behind (forward: below) the last chosen position lies what was never taken.
    first = int(np.count_nonzero(stays[: places[0]]))
    if forward:
        return replace(part, start=first, end=int(np.count_nonzero(stays[: places[-1] + 1])))
    end = int(np.count_nonzero(stays[: places[-1]])) - 1
    start = int(np.count_nonzero(stays[: places[0] + 1])) - 1
    return replace(part, start=start, end=end if end >= 0 else _BEFORE_THE_START)
