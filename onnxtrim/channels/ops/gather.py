"""Picking positions of one axis by index.

x (*a, n, *b), indices (*i)  ->  y (*a, *i, *b)

Constant indices in a row pick ids. By computed indices (the rows of an embedding) the axis itself
cannot be cut; all others are handed on.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.base import OpId, OpRule
from onnxtrim.channels.ops.operands import chosen, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Fixed, Ids, Relations
from onnxtrim.graph.constants import constant, int_attr
from onnxtrim.graph.edit import replace_constant

__all__ = ["Gather"]


class Gather(OpRule):
    """`Gather`."""

    ops = (OpId("Gather"),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the axis to the ids that are picked, and hands the others on."""
        x, indices, y = node.inputs[0], node.inputs[1], node.outputs[0]
        picked, more = _axis(node), len(sizes_of(indices)) - 1
        ids = rel.axis(x, picked)
        places = None if isinstance(ids, Fixed) else _places(node, len(ids))
        if places is None or isinstance(ids, Fixed):
            rel.freeze(ids, Code.MIXED, f"rows of {name(x)} are picked by computed indices")
        elif places.ndim == 1:
            rel.bind(y, picked, chosen(ids, places))
        else:
            sentence = f"single positions are picked from axis {picked} of {name(x)}"
            rel.freeze(ids[places.reshape(-1)], Code.MIXED, sentence)
        for axis in range(len(sizes_of(x))):
            if axis != picked:
                rel.bind(y, axis + more * (axis > picked), rel.axis(x, axis))
        for axis in range(more + 1):
            if places is None:
                rel.bind(y, picked + axis, rel.axis(indices, axis))

    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        """Writes where the positions that stay are found now."""
        stays = kept.mask(name(node.inputs[0]), _axis(node))
        places = None if stays is None else _places(node, len(stays))
        if stays is not None and places is not None and not stays.all():
            now = (np.cumsum(stays) - 1)[places]
            replace_constant(node, 1, now[stays[places]] if places.ndim == 1 else now)


def _axis(node: ir.Node) -> int:
    """Returns the axis that positions are picked from."""
    return int_attr(node, "axis", 0) % len(sizes_of(node.inputs[0]))


def _places(node: ir.Node, length: int) -> Ids | None:
    """Returns the constant indices from 0 on; None where they are computed."""
    array = constant(node.inputs[1])
    if array is None or array.dtype.kind not in "iu":
        return None
    return np.asarray(array, dtype=np.int64) % length
