"""Faults in rules of operators that move or merge axes."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.flatten import Flatten
from onnxtrim.channels.ops.operands import bind_like, sizes_of
from onnxtrim.channels.ops.reshape import Reshape
from onnxtrim.channels.ops.squeeze import Squeeze, Unsqueeze
from onnxtrim.channels.ops.transpose import Transpose
from onnxtrim.channels.relations import Relations
from teeth.bite import Case, Net, deep, freezes, ids_at, net

_COLUMN = ("w1", 1, (0,))


def tile(node: ir.Node, rel: Relations) -> None:
    """Binds the flat axis to the channels tiled, as if they were the innermost axis."""
    y, x = node.outputs[0], node.inputs[0]
    ids = ids_at(rel, x)
    rel.bind(y, 0, rel.axis(x, 0))
    rel.bind(y, 1, np.tile(ids, (sizes_of(y)[1] or 0) // len(ids)))


class FlattenTiles(Flatten):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        tile(node, rel)


class ReshapeTiles(Reshape):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        tile(node, rel)


class ReshapeKeepsItsTarget(Reshape):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ReshapeTakesInnerForOuter(Reshape):
    """Of 2 x 4 features the inner 4 are every fourth; it takes two neighbours for one."""

    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 2, rel.block(rel.axis(node.inputs[0], 1), 2))


class ReshapeTakesOuterForInner(Reshape):
    """Of 4 x 2 features the outer 4 are two neighbours; it takes every fourth for one."""

    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, rel.same_across_blocks(rel.axis(node.inputs[0], 1), 2))


class TransposeForgetsThePermutation(Transpose):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class TransposeReversed(Transpose):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 3, ids_at(rel, node.inputs[0])[::-1])


class SqueezeReversed(Squeeze):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class UnsqueezeReversed(Unsqueeze):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


def _flat(flatten: str, *target: int) -> Net:
    """Returns conv -> (2, 4, 2, 2) made flat -> a matrix product."""
    return net(
        "(float[2, 3, 2, 2] x) => (float[2, 5] y)",
        f"h = Conv(x, w1) z = {flatten} y = MatMul(z, w2)",
        13,
        w1=(4, 3, 1, 1), w2=(16, 5), **({"t": np.array(target)} if target else {}),
    )  # fmt: skip


def _split(outer: int, inner: int) -> Net:
    """Returns 8 features regrouped as (outer, inner), and the one of 4 read by a product."""
    body = "h = MatMul(x, w1) k = Reshape(h, t) y = MatMul(k, w2)"
    if outer == 4:
        body = "h = MatMul(x, w1) k = Reshape(h, t) y = MatMul(w2, k)"
    return net(
        f"(float[2, 4] x) => (float[2, {'2, 3' if inner == 4 else '3, 2'}] y)", body,
        w1=(4, 8), w2=(4, 3) if inner == 4 else (3, 4), t=np.array([2, outer, inner]),
    )  # fmt: skip


def _channels_last() -> Net:
    """Returns channels that go last and into a matrix product."""
    return net(
        "(float[N, 3, 4, 4] x) => (float[N, 4, 4, 2] y)",
        "h = Conv(x, w1) z = Transpose <perm = [0, 2, 3, 1]> (h) y = MatMul(z, w2)",
        w1=(4, 3, 1, 1), w2=(4, 2),
    )  # fmt: skip


CASES = {
    "flatten": Case(lambda: _flat("Flatten(h)"), FlattenTiles()),
    "reshape": Case(lambda: _flat("Reshape(h, t)", 0, -1), ReshapeTiles()),
    "reshape target": Case(lambda: _flat("Reshape(h, t)", -1, 16), ReshapeKeepsItsTarget()),
    "reshape inner": Case(lambda: _split(2, 4), ReshapeTakesInnerForOuter(), (_COLUMN,)),
    "reshape outer": Case(lambda: _split(4, 2), ReshapeTakesOuterForInner(), (_COLUMN,)),
    "transpose": Case(_channels_last, TransposeReversed()),
    "permutation": freezes(
        lambda: deep("z = Transpose <perm = [0, 2, 1, 3]> (h)"), TransposeForgetsThePermutation()
    ),
    "squeeze": Case(
        lambda: net(
            "(float[N, 3, 4, 4] x) => (float[N, 2] y)",
            "h = Conv(x, w1) p = GlobalMaxPool(h) z = Squeeze(p, axes) y = MatMul(z, w2)",
            w1=(4, 3, 1, 1), w2=(4, 2), axes=np.array([2, 3]),
        ),
        SqueezeReversed(),
    ),
    "unsqueeze": Case(
        lambda: net(
            "(float[N, 4] x) => (float[N, 2, 1, 1] y)",
            "h = MatMul(x, w1) z = Unsqueeze(h, axes) y = Conv(z, w2)",
            w1=(4, 6), w2=(2, 6, 1, 1), axes=np.array([2, 3]),
        ),
        UnsqueezeReversed(),
        (_COLUMN,),
    ),
}  # fmt: skip
