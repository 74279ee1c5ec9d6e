"""Recurrent layers: d directions, H hidden units, g gates (LSTM 4, GRU 3, RNN 1).

    x (T, N, I), W (d, g H, I), R (d, g H, H), B (d, 2 g H), lengths (N,), h0 (d, N, H),
    c0 (d, N, H), P (d, 3 H)  ->  Y (T, d, N, H), Yh (d, N, H), Yc (d, N, H)

A hidden unit is the same position of every gate, in order, of both directions. W reads the input,
R reads the hidden units of the step before. P, the peepholes, couples a unit with itself only.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import (
    freeze_all,
    freeze_if_computed,
    freeze_positions,
    is_constant,
    name,
    optional,
)
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr

__all__ = ["Recurrent"]

_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
_PEEPHOLES = 3


class Recurrent(OpRule):
    """`LSTM`, `GRU` and `RNN`, time first."""

    ops = tuple(OpId(op, since=7) for op in _GATES)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the gates of every hidden unit together, and the input to what reads it."""
        x, w, r = node.inputs[0], node.inputs[1], node.inputs[2]
        if int_attr(node, "layout", 0):
            for value in node.inputs:
                if value is not None:
                    freeze_all(rel, value, Code.MIXED, "batch-first layout is not described")
            return
        gates = _GATES[node.op_type]
        rel.same(rel.axis(w, 2), rel.axis(x, 2))
        units = rel.axis(r, 2)
        for value, blocks in ((w, gates), (r, gates)):
            rel.same(rel.same_across_blocks(rel.axis(value, 1), blocks), units)
        for index, blocks in ((3, 2 * gates), (7, _PEEPHOLES)):
            if (vector := optional(node, index)) is not None:
                rel.same(rel.same_across_blocks(rel.axis(vector, 1), blocks), units)
        for index in (5, 6):
            if (state := optional(node, index)) is not None:
                rel.same(rel.axis(state, 2), units)
                freeze_positions(rel, state, (0, 1))
        for value in (w, r):
            freeze_if_computed(rel, value, 2)
        for output in node.outputs:
            if output.name:
                rel.bind(output, -1, units)

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Sets `hidden_size` to the units that stay."""
        stays = kept.indices(name(node.inputs[2]), 2)
        if stays is not None:
            node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", len(stays))

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns steps x samples x (the elements of W and of R)."""
        steps, samples, _ = shapes[name(node.inputs[0])]
        return steps * samples * sum(math.prod(shapes[name(v)]) for v in node.inputs[1:3])

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns W and R, as far as they are constant; both make the units."""
        found = (value for value in node.inputs[1:3] if value is not None and is_constant(value))
        return tuple(Weight(value, writes=1, reads=2) for value in found)
