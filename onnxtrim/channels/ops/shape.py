"""The sizes of a tensor, as data.

x (d0, d1, ...)  ->  y [d0, d1, ...]

A size that only says how large another tensor is to be (the target of a Reshape, the sizes of a
Resize) follows the cut: whoever takes it corrects it, where the size of its result is known. One
that is not corrected, or calculated with, or taken for data, must stay what it is.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import name, optional, sizes_of
from onnxtrim.channels.ops.resize import corrects_sizes
from onnxtrim.channels.ops.targets import SIZE_OPERANDS
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints, int_attr, ints_attr
from onnxtrim.graph.shapes import unranked

__all__ = ["ShapeOf"]

_PASSED_ON = frozenset({"Cast", "Gather", "Slice", "Squeeze", "Unsqueeze"})
_BOUNDS = ((1, "starts"), (2, "ends"), (4, "steps"))

_Places = list[int | None] | None
"""The axis whose size each place of a vector holds, None for other figures; None for any order."""


class ShapeOf(OpRule):
    """`Shape`."""

    ops = (OpId("Shape"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axes whose sizes are used as figures; the others are free."""
        x = node.inputs[0]
        axes = list(range(len(sizes_of(x))))
        listed = axes[int_attr(node, "start", 0) : int_attr(node, "end", len(axes))]
        used = _calculated(node.outputs[0], set(listed), [*listed])
        for axis in axes:
            ids = rel.axis(x, axis)
            if axis in used:
                sentence = f"the size of axis {axis} of {name(x)} is calculated with"
                rel.freeze(ids, Code.MIXED, sentence)


def _calculated(value: ir.Value, listed: set[int], places: _Places) -> set[int]:
    """Returns which axes of those `listed`, whose sizes `value` holds, are used as figures."""
    if value.is_graph_output():
        return listed
    used: set[int] = set()
    for node, index in value.uses():
        if node.graph is not value.graph or node.domain != "" or unranked(node) is not None:
            used |= listed
        elif (node.op_type, index) in SIZE_OPERANDS:
            used |= _left_alone(node, listed, places)
        elif node.op_type == "Concat" or (node.op_type in _PASSED_ON and index == 0):
            passed = _passed_on(node, index, places)
            more = listed if passed is None else {axis for axis in passed if axis is not None}
            used |= _calculated(node.outputs[0], more, passed)
        else:
            used |= listed
    return used


def _left_alone(node: ir.Node, listed: set[int], places: _Places) -> set[int]:
    """Returns the axes whose sizes `node` does not correct: its result is of open size there."""
    sizes = sizes_of(node.outputs[0])
    if node.op_type == "Resize" and not corrects_sizes(node):
        return listed
    if places is None or "axes" in node.attributes:
        return listed if None in sizes else set()
    meant = sizes[len(sizes) - len(places) :]
    return {
        axis for axis, size in zip(places, meant, strict=True) if axis is not None and size is None
    }


def _passed_on(node: ir.Node, index: int, places: _Places) -> _Places:
    """Returns what the result of `node` holds of the places of its operand `index`."""
    if places is None or len(sizes_of(node.outputs[0])) > 1:
        return None
    if node.op_type == "Gather":
        picked = constant_ints(node.inputs[1])
        return None if picked is None else [places[place] for place in picked]
    if node.op_type == "Slice":
        starts, ends, steps = (_bound(node, i, key) for i, key in _BOUNDS)
        if starts is None or ends is None or steps is None:
            return None
        return places[starts[0] : ends[0] : steps[0]]
    if node.op_type == "Concat":
        lengths = [sizes_of(operand)[0] for operand in node.inputs]
        if None in lengths:
            return None
        before, after = sum(n or 0 for n in lengths[:index]), lengths[index + 1 :]
        return [*[None] * before, *places, *[None] * sum(n or 0 for n in after)]
    return places


def _bound(node: ir.Node, index: int, key: str) -> tuple[int, ...] | None:
    """Returns a bound of a slice; None where it is computed."""
    if key in node.attributes:
        return ints_attr(node, key)
    operand = optional(node, index)
    return (1,) if operand is None else constant_ints(operand)
