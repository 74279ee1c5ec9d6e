"""Faults in rules of convolutions."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.ops.conv_transpose import ConvTranspose
from onnxtrim.channels.relations import Fixed, Relations
from teeth.bite import Case, chain, ids_at, net

_MAPS = "(float[N, 3, 4, 4] x) => (float[N, 2, 4, 4] y)"


class ConvForgetsTheGroups(Conv):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ConvReadsBackwards(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        rel.same(ids_at(rel, weight)[::-1], rel.axis(x, 1))
        for bias in node.inputs[2:]:
            rel.same(rel.axis(bias, 0), rel.axis(weight, 0))
        rel.bind(y, 1, rel.axis(weight, 0))


class ConvForgetsTheBias(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 1), rel.axis(node.inputs[0], 1))
        for bias in node.inputs[2:]:
            rel.axis(bias, 0)
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class ConvTilesTheMultiplier(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        if node.attributes["group"].as_int() == 1:
            super().relate(node, rel)
            return
        given, made = ids_at(rel, node.inputs[0]), ids_at(rel, node.inputs[1], 0)
        rel.same(made, np.tile(given, len(made) // len(given)))
        rel.bind(node.outputs[0], 1, made)


class ConvForgetsTheBlocks(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        given, used = rel.axis(node.inputs[0], 1), rel.axis(node.inputs[1], 1)
        if not isinstance(given, Fixed) and not isinstance(used, Fixed):
            rel.same(used, given[: len(used)])
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class ConvTransposeReadsBackwards(ConvTranspose):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(ids_at(rel, node.inputs[1], 0)[::-1], rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class ConvTransposeTakesRowsForColumns(ConvTranspose):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 1), rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class ConvTransposeForgetsTheGroups(ConvTranspose):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


CASES = {
    "depthwise group": Case(
        lambda: chain("z = Conv <group = 4> (h, d)", d=(4, 1, 1, 1)), ConvForgetsTheGroups()
    ),
    "depthwise multiplier": Case(
        lambda: net(
            _MAPS,
            "h = Conv <group = 1> (x, w1) k = Relu(h) z = Conv <group = 4> (k, d)"
            " y = Conv <group = 1> (z, w2)",
            w1=(4, 3, 1, 1), d=(8, 1, 1, 1), w2=(2, 8, 1, 1),
        ),
        ConvTilesTheMultiplier(),
    ),
    "conv backwards": Case(lambda: chain("z = Relu(h)"), ConvReadsBackwards()),
    "conv bias": Case(
        lambda: net(
            _MAPS, "h = Conv(x, w1, b) z = Relu(h) y = Conv(z, w2)",
            w1=(4, 3, 1, 1), b=(4,), w2=(2, 4, 1, 1),
        ),
        ConvForgetsTheBias(),
    ),
    "conv blocks": Case(
        lambda: chain("z = Conv <group = 2> (h, d)", d=(4, 2, 1, 1)), ConvForgetsTheBlocks()
    ),
    "transposed backwards": Case(
        lambda: chain("z = ConvTranspose(h, d)", d=(4, 4, 1, 1)), ConvTransposeReadsBackwards()
    ),
    "transposed rows": Case(
        lambda: chain("z = ConvTranspose(h, d)", d=(4, 4, 1, 1)),
        ConvTransposeTakesRowsForColumns(),
    ),
    "transposed depthwise": Case(
        lambda: chain("z = ConvTranspose <group = 4> (h, d)", d=(4, 1, 1, 1)),
        ConvTransposeForgetsTheGroups(),
    ),
}  # fmt: skip
