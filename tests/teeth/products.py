"""Faults in rules of matrix products, sums of products and recurrent layers."""

import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.einsum import Einsum
from onnxtrim.channels.ops.gemm import Gemm
from onnxtrim.channels.ops.matmul import MatMul
from onnxtrim.channels.ops.operands import sizes_of
from onnxtrim.channels.ops.recurrent import Recurrent
from onnxtrim.channels.relations import Relations
from teeth.bite import Case, Net, ids_at, net, perceptron

_COLUMN = ("w1", 1, (0,))
_GATES = 4


class GemmTransposed(Gemm):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 1), rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class GemmForgetsTheBias(Gemm):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 0), rel.axis(node.inputs[0], 1))
        rel.axis(node.inputs[2], 0)
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class MatMulReadsBackwards(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(ids_at(rel, node.inputs[1], 0)[::-1], rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class MatMulForgetsItsRows(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.axis(node.inputs[0], 1)
        rel.axis(node.inputs[1], 0)
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class MatMulReadsBackwardsFromTheLeft(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        left, right = node.inputs
        rel.same(ids_at(rel, left, 1)[::-1], rel.axis(right, 1))
        rel.bind(node.outputs[0], 1, rel.axis(left, 0))


class MatMulTakesTheLeftForTheRight(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        left, right = node.inputs
        if len(set(sizes_of(left))) > 1:  # only where both axes are of one size
            super().relate(node, rel)
            return
        rel.same(rel.axis(left, 0), rel.axis(right, 1))
        rel.bind(node.outputs[0], 1, rel.axis(left, 1))


class EinsumReadsBackwards(Einsum):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(ids_at(rel, node.inputs[1], 0)[::-1], rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class RecurrentTakesUnitsForGates(Recurrent):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        x, w, r = node.inputs[:3]
        units = rel.axis(r, 2)
        rel.same(rel.axis(w, 2), rel.axis(x, 2))
        for value in (w, r):
            rel.same(rel.block(rel.axis(value, 1), _GATES), units)
        rel.bind(node.outputs[0], -1, units)


class RecurrentForgetsWhatItReads(Recurrent):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        x, w, r = node.inputs[:3]
        units = rel.same_across_blocks(rel.axis(w, 1), _GATES)
        rel.same(rel.axis(w, 2), rel.axis(x, 2))
        rel.same(rel.same_across_blocks(rel.axis(r, 1), _GATES), units)
        rel.axis(r, 2)
        rel.bind(node.outputs[0], -1, units)


class RecurrentKeepsItsSize(Recurrent):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


def _left() -> Net:
    """Returns products with constants on the left: rows of x are mixed, not columns."""
    return net(
        "(float[N, 4, 5] x) => (float[N, 3, 5] y)",
        "h = MatMul(w1, x) r = Relu(h) k = MatMul(w2, r) z = Relu(k) y = MatMul(w3, z)",
        w1=(6, 4), w2=(6, 6), w3=(3, 6),
    )  # fmt: skip


def _recurrent() -> Net:
    """Returns an LSTM of 4 hidden units with a matrix product behind it."""
    return net(
        "(float[5, 2, 3] x) => (float[5, 1, 2, 3] y)",
        "z, last = LSTM <hidden_size = 4> (x, w1, r) y = MatMul(z, w2)",
        w1=(1, 16, 3), r=(1, 16, 4), w2=(4, 3),
    )  # fmt: skip


CASES = {
    "gemm transposed": Case(
        lambda: perceptron("k = Gemm(h, w2) z = Relu(k)", w2=(6, 6)), GemmTransposed(), (_COLUMN,)
    ),
    "gemm bias": Case(
        lambda: perceptron("k = Gemm(h, w2, b) z = Relu(k)", w2=(6, 6), b=(6,)),
        GemmForgetsTheBias(),
        (("w2", 1, (0, 2)),),
    ),
    "matmul backwards": Case(
        lambda: perceptron("k = MatMul(h, w2) z = Relu(k)", w2=(6, 6)),
        MatMulReadsBackwards(),
        (_COLUMN,),
    ),
    "matmul rows": Case(
        lambda: perceptron("k = MatMul(h, w2) z = Relu(k)", w2=(6, 6)),
        MatMulForgetsItsRows(),
        (_COLUMN,),
    ),
    "matmul left backwards": Case(_left, MatMulReadsBackwardsFromTheLeft()),
    "matmul left for right": Case(_left, MatMulTakesTheLeftForTheRight()),
    "einsum backwards": Case(
        lambda: perceptron('k = Einsum <equation = "ni,ij->nj"> (h, w2) z = Relu(k)', w2=(6, 6)),
        EinsumReadsBackwards(),
        (_COLUMN,),
    ),
    "recurrent gates": Case(_recurrent, RecurrentTakesUnitsForGates(), (("r", 2, (0,)),)),
    "recurrent reads": Case(_recurrent, RecurrentForgetsWhatItReads(), (("w1", 1, (0,)),)),
    "recurrent size": Case(_recurrent, RecurrentKeepsItsSize(), (("r", 2, (0,)),)),
}
