"""Concatenation: the ids of the operands behind one another.

x1 (N, C1, *s), x2 (N, C2, *s), ...  ->  y (N, C1 + C2 + ..., *s)
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_all, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Concat"]


class Concat(OpRule):
    """`Concat` along any axis."""

    ops = (OpId("Concat"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Joins the ids on the axis of concatenation; on the others operands go together."""
        y = node.outputs[0]
        operands = [value for value in node.inputs if value is not None]
        rank = len(sizes_of(y))
        joined = int_attr(node, "axis", 1) % rank
        lengths = [sizes_of(value)[joined] for value in operands]
        parts = [rel.axis(value, joined) for value in operands]
        if any(not isinstance(part, Fixed) for part in parts):
            if None in lengths:
                for value in operands:
                    freeze_all(rel, value, Code.DYNAMIC_SIZE, f"{name(y)} joins an unknown width")
            else:
                ids = [rel.concrete(p, n or 0) for p, n in zip(parts, lengths, strict=True)]
                rel.bind(y, joined, np.concatenate(ids))
        for axis in range(rank):
            if axis != joined:
                first = rel.axis(operands[0], axis)
                for value in operands[1:]:
                    rel.same(rel.axis(value, axis), first)
                rel.bind(y, axis, first)
