"""Sampling feature maps at places that are computed.

GridSample  x (N, C, *s), grid (N, *s', d)         ->  y (N, C, *s')
RoiAlign    x (N, C, H, W), rois (R, 4), batch (R,)  ->  y (R, C, h, w)
MaxRoiPool  x (N, C, H, W), rois (R, 5)              ->  y (R, C, h, w)
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import freeze_positions, sizes_of
from onnxtrim.channels.relations import Relations

__all__ = ["Sampling"]


class Sampling(OpRule):
    """`GridSample`, `RoiAlign`, `MaxRoiPool`: every channel at the same places."""

    ops = (OpId("GridSample", since=16), OpId("MaxRoiPool"), OpId("RoiAlign", since=10))

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Hands the channels on; a feature map may be its own grid."""
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[0], 1))
        for where in node.inputs[1:]:
            freeze_positions(rel, where, range(len(sizes_of(where))))
