"""Operands that say how large a result is: the targets of Reshape and Expand, the sizes of Resize.

After a cut the sizes of axes that lost channels are written anew. A constant operand is replaced;
one that the graph computes, perhaps from the size of a tensor that was cut, is corrected where the
size is known.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.operands import name, sizes_of
from onnxtrim.graph.constants import constant_ints
from onnxtrim.graph.edit import override_elements, replace_constant

__all__ = ["SIZE_OPERANDS", "rewrite_target"]

SIZE_OPERANDS = frozenset({("ConstantOfShape", 0), ("Expand", 1), ("Reshape", 1), ("Resize", 3)})
"""The operands that rules hand to `rewrite_target`."""


def rewrite_target(node: ir.Node, index: int, kept: Kept, axes: tuple[int, ...] = ()) -> None:
    """Writes the widths that are left into operand `index` of `node`; 1 and -1 stay.

    So does 0, unless the axis that it copies loses other positions than that of the result. `axes`
    are the axes of the result that the elements stand for; all of them where it is empty.
    """
    operand, y = node.inputs[index], node.outputs[0]
    cut = kept.cut_axes(name(y))
    axes = axes or tuple(range(len(sizes_of(y))))
    wanted = constant_ints(operand)
    if wanted is not None:
        sizes = [_left(node, axis, size, kept) for axis, size in zip(axes, wanted, strict=True)]
        if tuple(sizes) != wanted:
            replace_constant(node, index, np.array(sizes, dtype=np.int64))
        return
    known = {
        place: kept.size(name(y), axis, size)
        for place, axis in enumerate(axes)
        if (size := sizes_of(y)[axis]) is not None
    }
    if known and (not cut.keys().isdisjoint(axes) or _sized_by_a_cut(operand, kept)):
        override_elements(node, index, known, len(axes))


def _left(node: ir.Node, axis: int, wanted: int, kept: Kept) -> int:
    """Returns what a constant target says of an axis of the result after the cut."""
    x, y = node.inputs[0], node.outputs[0]
    if wanted in (-1, 1):
        return wanted
    size = sizes_of(y)[axis] or wanted
    left = kept.size(name(y), axis, size)
    return left if wanted > 1 or left != kept.size(name(x), axis, size) else wanted


def _sized_by_a_cut(operand: ir.Value | None, kept: Kept) -> bool:
    """Returns whether a shape that the graph computes reads the size of a tensor that is cut."""
    todo = [operand] if operand is not None else []
    seen = set(todo)
    while todo:
        node = todo.pop().producer()
        if node is not None and node.op_type == "Shape":
            if kept.cut_axes(name(node.inputs[0])):
                return True
        elif node is not None:
            further = [v for v in node.inputs if v is not None and v not in seen]
            seen.update(further)
            todo += further
    return False
