"""Reshape: runs of neighbouring axes are merged, kept, or split.

    x (N, C, H, W), target (N, -1)  ->  y (N, C*H*W)

Source and result are aligned from the left into the smallest runs of equal size. A run of one axis
to one axis hands the ids on, a run of several to one merges them; a run that splits an axis
freezes what it carries.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_all, merged, name, optional, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints
from onnxtrim.graph.edit import replace_constant
from onnxtrim.graph.shapes import Shape

__all__ = ["Reshape", "aligned_runs"]

_OPEN = 2_147_483_647
"""Stands for the size that is open on both sides: a prime, so that it aligns with itself only."""


class Reshape(OpRule):
    """`Reshape` by a constant target."""

    ops = (OpId("Reshape", since=5),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds each result axis to the source axes that it is made of."""
        x, y = node.inputs[0], node.outputs[0]
        runs = aligned_runs(sizes_of(x), sizes_of(y))
        if x is None or runs is None or constant_ints(optional(node, 1)) is None:
            freeze_all(rel, x, Code.DYNAMIC_SIZE, "the target of the reshape is computed")
            return
        for sources, targets in runs:
            if len(targets) == 1 and sources:
                rel.bind(y, targets[0], merged(rel, x, sources))
            else:
                for axis in sources:
                    rel.freeze(rel.axis(x, axis), Code.MIXED, f"axis {axis} is split or dropped")

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the new widths into the target; 0 (copy) and -1 (the rest) say them already."""
        target = constant_ints(node.inputs[1])
        y = name(node.outputs[0])
        if target is None:
            return
        sizes = [kept.size(y, axis, size) if size > 0 else size for axis, size in enumerate(target)]
        if tuple(sizes) != target:
            replace_constant(node, 1, np.array(sizes, dtype=np.int64))


def aligned_runs(source: Shape, result: Shape) -> list[tuple[list[int], list[int]]] | None:
    """Returns the smallest runs of (source axes, result axes) with equal products.

    Axes of size 1 are on no one's side: those of the source come back as runs without result.
    None where more than one size is open, or the open sizes are not each other's match.
    """
    if source.count(None) != result.count(None) or source.count(None) > 1:
        return None
    runs: list[tuple[list[int], list[int]]] = [
        ([axis], []) for axis, size in enumerate(source) if size == 1
    ]
    left = [(axis, _OPEN if size is None else size) for axis, size in enumerate(source)]
    right = [(axis, _OPEN if size is None else size) for axis, size in enumerate(result)]
    left, right = ([pair for pair in side if pair[1] != 1] for side in (left, right))
    while left and right:
        (axis, a), (target, b) = left.pop(0), right.pop(0)
        sources, targets = [axis], [target]
        while a != b:
            side, axes = (left, sources) if a < b else (right, targets)
            if not side:
                return None
            axis, size = side.pop(0)
            axes.append(axis)
            a, b = (a * size, b) if side is left else (a, b * size)
        runs.append((sources, targets))
    return None if left or right else runs
