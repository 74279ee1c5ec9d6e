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

_STEPS_TO_A_SHAPE = 16


def rewrite_target(node: ir.Node, index: int, kept: Kept, axes: tuple[int, ...] = ()) -> None:
    """Writes the widths that are left into operand `index` of `node`; 0, 1 and -1 stay.

    `axes` are the axes of the result that the elements stand for; all of them where it is empty.
    """
    operand, y = node.inputs[index], node.outputs[0]
    cut = kept.cut_axes(name(y))
    axes = axes or tuple(range(len(sizes_of(y))))
    wanted = constant_ints(operand)
    if wanted is not None:
        sizes = [
            len(cut[axis]) if axis in cut and size > 1 else size
            for axis, size in zip(axes, wanted, strict=True)
        ]
        if tuple(sizes) != wanted:
            replace_constant(node, index, np.array(sizes, dtype=np.int64))
    elif operand is not None and (cut or _sized_by_a_cut(operand, kept, _STEPS_TO_A_SHAPE)):
        known = {
            place: kept.size(name(y), axis, size)
            for place, axis in enumerate(axes)
            if (size := sizes_of(y)[axis]) is not None
        }
        override_elements(node, index, known, len(axes))


def _sized_by_a_cut(value: ir.Value, kept: Kept, steps: int) -> bool:
    """Returns whether a shape that the graph computes reads the size of a tensor that is cut."""
    node = value.producer()
    if node is None or steps == 0:
        return False
    if node.op_type == "Shape":
        return bool(kept.cut_axes(name(node.inputs[0])))
    return any(v is not None and _sized_by_a_cut(v, kept, steps - 1) for v in node.inputs)
