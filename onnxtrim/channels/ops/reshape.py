"""Reshape: runs of neighbouring axes are merged, kept, or split (`runs.py`).

x (N, C, H, W), target (N, -1)  ->  y (N, C*H*W)
"""

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.runs import Sizes, aligned_runs, relate_runs, symbolic
from onnxtrim.channels.ops.targets import rewrite_target
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import constant_ints, int_attr

__all__ = ["Reshape"]


class Reshape(OpRule):
    """`Reshape`; a computed target is as good as a constant one where the result's sizes tell."""

    ops = (OpId("Reshape", since=5),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds each result axis to the source axes that it is made of."""
        x, y = node.inputs[0], node.outputs[0]
        source = symbolic(x)
        relate_runs(rel, x, y, aligned_runs(source, _result(node, source)))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes the new widths into the target; 0 (copy) and -1 (the rest) say them already."""
        rewrite_target(node, 1, kept)


def _result(node: ir.Node, source: Sizes) -> Sizes:
    """Returns the sizes of the result; one that is copied from the source bears its name."""
    result = symbolic(node.outputs[0])
    target = constant_ints(node.inputs[1])
    if target is None or int_attr(node, "allowzero", 0):
        return result
    return [
        source[axis] if wanted == 0 else size
        for axis, (size, wanted) in enumerate(zip(result, target, strict=True))
    ]
