"""The sizes of a tensor, as data.

x (d0, d1, ...)  ->  y [d0, d1, ...]

A size that only says how large another tensor is to be (the target of a Reshape, the sizes of a
Resize) follows the cut: whoever takes it corrects it. One that is calculated with, or taken for
data, must stay what it is.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import name, sizes_of
from onnxtrim.channels.ops.targets import SIZE_OPERANDS
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints, int_attr

__all__ = ["ShapeOf"]

_IN_ORDER = frozenset({"Cast"})
_PASSED_ON = frozenset({"Concat", "Slice", "Squeeze", "Unsqueeze"}) | _IN_ORDER


class ShapeOf(OpRule):
    """`Shape`."""

    ops = (OpId("Shape"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Freezes the axes whose sizes are used as figures; the others are free."""
        x = node.inputs[0]
        axes = list(range(len(sizes_of(x))))
        listed = axes[int_attr(node, "start", 0) : int_attr(node, "end", len(axes))]
        used = _calculated(node.outputs[0], listed)
        for axis in axes:
            ids = rel.axis(x, axis)
            if axis in used:
                sentence = f"the size of axis {axis} of {name(x)} is calculated with"
                rel.freeze(ids, Code.MIXED, sentence)


def _calculated(value: ir.Value, elements: list[int], in_order: bool = True) -> set[int]:
    """Returns which of `elements`, axes whose sizes `value` lists, are used as figures.

    `in_order` says that these sizes are all that `value` holds, and in this order.
    """
    if value.is_graph_output():
        return set(elements)
    used: set[int] = set()
    for node, index in value.uses():
        known = node.graph is value.graph and node.domain == ""
        picks = known and in_order and (node.op_type, index) == ("Gather", 0)
        places = constant_ints(node.inputs[1]) if picks else None
        if known and (node.op_type, index) in SIZE_OPERANDS:
            continue
        if places is not None:
            used |= _calculated(node.outputs[0], [elements[place] for place in places])
        elif known and node.op_type in _PASSED_ON:
            kept = in_order and node.op_type in _IN_ORDER
            used |= _calculated(node.outputs[0], elements, kept)
        else:
            used |= set(elements)
    return used
