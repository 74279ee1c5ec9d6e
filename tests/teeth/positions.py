"""Faults in rules of operators that pick, join, add or repeat positions."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.concat import Concat
from onnxtrim.channels.ops.expand import ConstantOfShape, Expand
from onnxtrim.channels.ops.gather import Gather
from onnxtrim.channels.ops.operands import bind_like
from onnxtrim.channels.ops.pad import Pad, PadBefore11
from onnxtrim.channels.ops.slice import Slice, SliceBefore10
from onnxtrim.channels.ops.split import Split, SplitBefore13
from onnxtrim.channels.ops.tile import Tile
from onnxtrim.channels.relations import Relations
from teeth.bite import Case, Net, chain, ids_at

_BRANCH = ("wk", 0, (0,))


class ConcatReversed(Concat):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        super().relate(node, rel)
        ids = [ids_at(rel, value) for value in node.inputs]
        rel.bind(node.outputs[0], 1, np.concatenate(ids[::-1]))


class GatherForgetsTheOrder(Gather):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class GatherKeepsItsPlaces(Gather):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class SliceStartsTooEarly(Slice):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[:3])


class SliceKeepsItsBounds(Slice):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class SliceBefore10KeepsItsBounds(SliceBefore10):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class SplitSwapped(Split):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        ids = ids_at(rel, node.inputs[0])
        rel.bind(node.outputs[0], 1, ids[2:])
        rel.bind(node.outputs[1], 1, ids[:2])


class SplitKeepsItsSizes(Split):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class SplitBefore13KeepsItsSizes(SplitBefore13):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class PadAtTheWrongEnd(Pad):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        ids = ids_at(rel, node.inputs[0])
        rel.bind(node.outputs[0], 1, np.concatenate([ids, rel.fresh(2)]))


class PadKeepsItsAmounts(Pad):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class PadBefore11KeepsItsAmounts(PadBefore11):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class TileRepeats(Tile):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, np.repeat(ids_at(rel, node.inputs[0]), 2))


class ExpandKeepsItsShape(Expand):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ConstantOfShapeKeepsItsShape(ConstantOfShape):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


def _gathered() -> Net:
    """Returns channels in another order."""
    return chain("z = Gather <axis = 1> (h, i)", i=np.array([2, 0, 3, 1]))


def _sliced() -> Net:
    """Returns all channels but the first."""
    return chain("z = Slice(h, b, e, b)", 3, b=np.array([1]), e=np.array([4]))


def _halves(split: str, opset: int) -> Net:
    """Returns the two halves of the channels in reverse order."""
    return chain(f"a, b = {split} z = Concat <axis = 1> (b, a)", opset=opset)


def _padded(pad: str, opset: int, *pads: int) -> Net:
    """Returns 4 channels with two more before them, added to 6 of another convolution."""
    middle = f"p = {pad} k = Conv(x, wk) z = Add(p, k)"
    given = {"pads": np.array(pads)} if pads else {}
    return chain(middle, 6, opset, "N, 2, 4, 4", wk=(6, 3, 1, 1), **given)


_TWO_BEFORE = (0, 2, 0, 0, 0, 0, 0, 0)

CASES = {
    "concat": Case(
        lambda: chain("k = Conv(x, wk) z = Concat <axis = 1> (h, k)", 8, wk=(4, 3, 1, 1)),
        ConcatReversed(),
    ),
    "gather order": Case(_gathered, GatherForgetsTheOrder()),
    "gather places": Case(_gathered, GatherKeepsItsPlaces()),
    "slice start": Case(_sliced, SliceStartsTooEarly(), (("w1", 0, (1,)),)),
    "slice bounds": Case(_sliced, SliceKeepsItsBounds()),
    "slice bounds before 10": Case(
        lambda: chain("z = Slice <axes = [1], starts = [1], ends = [4]> (h)", 3, 9),
        SliceBefore10KeepsItsBounds(),
    ),
    "split swapped": Case(lambda: _halves("Split <axis = 1> (h)", 13), SplitSwapped()),
    "split sizes": Case(lambda: _halves("Split <axis = 1> (h)", 13), SplitKeepsItsSizes()),
    "split sizes before 13": Case(
        lambda: _halves("Split <axis = 1> (h)", 11), SplitBefore13KeepsItsSizes()
    ),
    "pad end": Case(
        lambda: chain("z = Pad(h, pads)", 6, pads=np.array(_TWO_BEFORE)), PadAtTheWrongEnd()
    ),
    "pad amounts": Case(
        lambda: _padded("Pad(h, pads)", 13, *_TWO_BEFORE), PadKeepsItsAmounts(), (_BRANCH,)
    ),
    "pad amounts before 11": Case(
        lambda: _padded("Pad <pads = [0, 2, 0, 0, 0, 0, 0, 0]> (h)", 10),
        PadBefore11KeepsItsAmounts(),
        (_BRANCH,),
    ),
    "tile": Case(lambda: chain("z = Tile(h, n)", 8, n=np.array([1, 2, 1, 1])), TileRepeats()),
    "expand": Case(
        lambda: chain("z = Expand(h, s)", s=np.array([1, 4, 1, 1])), ExpandKeepsItsShape()
    ),
    "constant of shape": Case(
        lambda: chain(
            "c = ConstantOfShape <value: tensor = float[1] {2.0}> (s) z = Mul(h, c)",
            s=np.array([1, 4, 1, 1]),
        ),
        ConstantOfShapeKeepsItsShape(),
    ),
}
