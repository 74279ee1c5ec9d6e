"""Every deliberately broken rule must be caught, by the tests' oracle and by the built-in proof.

Each case is a small network, the units to remove, and a rule with one fault. The same network and
units pass with the rules as they are, so that what is caught is the fault and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from oracle import Arrays, assert_equal_to_masked, proto_of

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops import RULES, OpRule
from onnxtrim.channels.ops.batch_normalization import BatchNormalization
from onnxtrim.channels.ops.concat import Concat
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.ops.elementwise_binary import ElementwiseBinary
from onnxtrim.channels.ops.elementwise_unary import Relu
from onnxtrim.channels.ops.flatten import Flatten
from onnxtrim.channels.ops.gemm import Gemm
from onnxtrim.channels.ops.matmul import MatMul
from onnxtrim.channels.ops.operands import bind_like, sizes_of
from onnxtrim.channels.ops.pool import Pool
from onnxtrim.channels.ops.reduce import Reduce
from onnxtrim.channels.ops.reshape import Reshape
from onnxtrim.channels.relations import Fixed, Ids, Relations
from onnxtrim.errors import OnnxtrimError, ShapeError, VerificationError
from onnxtrim.graph import load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut, verify


def reversed_channels(rel: Relations, node: ir.Node) -> None:
    """Binds axis 1 of the output to the ids of the input, back to front."""
    y, x = node.outputs[0], node.inputs[0]
    ids = rel.axis(x, 1)
    assert not isinstance(ids, Fixed)
    bind_like(rel, y, x)
    rel.bind(y, 1, ids[::-1])


class ReluReversed(Relu):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reversed_channels(rel, node)


class PoolReversed(Pool):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        super().relate(node, rel)
        ids = rel.axis(node.inputs[0], 1)
        assert not isinstance(ids, Fixed)
        rel.bind(node.outputs[0], 1, ids[::-1])


class ReduceReversed(Reduce):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        super().relate(node, rel)
        ids = rel.axis(node.inputs[0], 1)
        assert not isinstance(ids, Fixed)
        rel.bind(node.outputs[0], 1, ids[::-1])


class ConcatReversed(Concat):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        super().relate(node, rel)
        parts = [rel.axis(value, 1) for value in node.inputs]
        ids = [part for part in parts if not isinstance(part, Fixed)]
        rel.bind(node.outputs[0], 1, np.concatenate(ids[::-1]))


class AddForgetsAnOperand(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class AddReversesAnOperand(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        ids = rel.axis(node.inputs[1], 1)
        assert not isinstance(ids, Fixed)
        rel.same(rel.axis(node.inputs[0], 1), ids[::-1])


class BatchNormalizationForgetsTheVariance(BatchNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        for vector in node.inputs[1:4]:
            rel.same(rel.axis(vector, 0), rel.axis(node.inputs[0], 1))


class BatchNormalizationReversesTheMean(BatchNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        channels = rel.axis(node.inputs[0], 1)
        assert not isinstance(channels, Fixed)
        bind_like(rel, node.outputs[0], node.inputs[0])
        for index, vector in enumerate(node.inputs[1:5]):
            rel.same(rel.axis(vector, 0), channels[::-1] if index == 2 else channels)


class FlattenTiles(Flatten):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        tiled(node, rel)


class ReshapeTiles(Reshape):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        tiled(node, rel)


def tiled(node: ir.Node, rel: Relations) -> None:
    """Binds the flat axis to the channels tiled, as if they were the innermost axis."""
    y, x = node.outputs[0], node.inputs[0]
    ids = rel.axis(x, 1)
    assert not isinstance(ids, Fixed)
    assert x is not None
    rel.bind(y, 0, rel.axis(x, 0))
    rel.bind(y, 1, np.tile(ids, (sizes_of(y)[1] or 0) // len(ids)))


class ReshapeKeepsItsTarget(Reshape):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ConvForgetsTheGroups(Conv):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ConvReadsBackwards(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
        used = rel.axis(weight, 1)
        assert not isinstance(used, Fixed)
        rel.same(used[::-1], rel.axis(x, 1))
        for bias in node.inputs[2:]:
            rel.same(rel.axis(bias, 0), rel.axis(weight, 0))
        rel.bind(y, 1, rel.axis(weight, 0))


class ConvForgetsTheBias(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 1), rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class ConvTilesTheMultiplier(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        if node.attributes["group"].as_int() == 1:
            super().relate(node, rel)
            return
        given, made = rel.axis(node.inputs[0], 1), rel.axis(node.inputs[1], 0)
        assert not isinstance(given, Fixed)
        assert not isinstance(made, Fixed)
        rel.same(made, np.tile(given, len(made) // len(given)))
        rel.bind(node.outputs[0], 1, made)


class ConvForgetsTheBlocks(Conv):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        given, used = rel.axis(node.inputs[0], 1), rel.axis(node.inputs[1], 1)
        if not isinstance(given, Fixed) and not isinstance(used, Fixed):
            rel.same(used, given[: len(used)])
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class GemmTransposed(Gemm):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 1), rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 0))


class GemmForgetsTheBias(Gemm):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.same(rel.axis(node.inputs[1], 0), rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class MatMulReadsBackwards(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rows = rel.axis(node.inputs[1], 0)
        assert not isinstance(rows, Fixed)
        rel.same(rows[::-1], rel.axis(node.inputs[0], 1))
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


class MatMulForgetsItsRows(MatMul):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.axis(node.inputs[0], 1)
        rel.axis(node.inputs[1], 0)
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[1], 1))


_HEAD = '<ir_version: 8, opset_import: ["": 13]> net '
_MAPS = _HEAD + "(float[N, 3, 4, 4] x) => (float[N, 2, 4, 4] y) "
_VECTORS = _HEAD + "(float[N, 4] x) => (float[N, 3] y) "
_RNG = np.random.default_rng(7)


def weights(**shapes: tuple[int, ...]) -> Arrays:
    """Returns random weights of the given shapes, positive where the name says variance."""
    return {
        name: (np.abs(w) + 0.5 if name == "var" else w).astype(np.float32)
        for name, w in ((n, _RNG.standard_normal(s)) for n, s in shapes.items())
    }


def chain(middle: str, width: int = 4, **more: tuple[int, ...]) -> tuple[str, Arrays]:
    """Returns conv -> middle (h -> z) -> conv, with `width` channels at z."""
    text = _MAPS + "{h = Conv(x, w1)" + middle + "y = Conv(z, w2)}"
    return text, weights(w1=(4, 3, 1, 1), w2=(2, width, 1, 1), **more)


def perceptron(middle: str, **more: tuple[int, ...]) -> tuple[str, Arrays]:
    """Returns a matrix product -> middle (h -> z) -> a matrix product, 4 -> 6 -> 6 -> 3."""
    text = _VECTORS + "{h0 = MatMul(x, w1) h = Relu(h0)" + middle + "y = MatMul(z, w3)}"
    return text, weights(w1=(4, 6), w3=(6, 3), **more)


_FLAT = _HEAD + "(float[2, 3, 2, 2] x) => (float[2, 5] y) "


@dataclass(frozen=True)
class Case:
    """A network, one position of `w1` (and of `w2` if asked) to remove, and a broken rule."""

    net: Callable[[], tuple[str, Arrays]]
    broken: OpRule
    removed: tuple[tuple[str, int, tuple[int, ...]], ...] = (("w1", 0, (0,)),)


CASES = {
    "relu": Case(lambda: chain("z = Relu(h)"), ReluReversed()),
    "pool": Case(
        lambda: chain("z = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h)"),
        PoolReversed(),
    ),
    "reduce": Case(
        lambda: (
            _HEAD + "(float[2, 3, 4, 4] x) => (float[2, 5] y) "
            "{h = Conv(x, w1) z = ReduceMean <axes = [2, 3], keepdims = 0> (h) y = MatMul(z, w2)}",
            weights(w1=(4, 3, 1, 1), w2=(4, 5)),
        ),
        ReduceReversed(),
    ),
    "concat": Case(
        lambda: chain("k = Conv(x, wk) z = Concat <axis = 1> (h, k)", 8, wk=(4, 3, 1, 1)),
        ConcatReversed(),
    ),
    "add forgets": Case(
        lambda: chain("k = Conv(x, wk) z = Add(h, k)", wk=(4, 3, 1, 1)), AddForgetsAnOperand()
    ),
    "add reverses": Case(
        lambda: chain("k = Conv(x, wk) z = Add(h, k)", wk=(4, 3, 1, 1)), AddReversesAnOperand()
    ),
    "bias forgotten": Case(lambda: chain("z = Add(h, b)", b=(1, 4, 1, 1)), AddForgetsAnOperand()),
    "bn variance": Case(
        lambda: chain("z = BatchNormalization(h, s, b, m, var)", s=(4,), b=(4,), m=(4,), var=(4,)),
        BatchNormalizationForgetsTheVariance(),
    ),
    "bn mean": Case(
        lambda: chain("z = BatchNormalization(h, s, b, m, var)", s=(4,), b=(4,), m=(4,), var=(4,)),
        BatchNormalizationReversesTheMean(),
    ),
    "flatten": Case(
        lambda: (
            _FLAT + "{h = Conv(x, w1) z = Flatten(h) y = MatMul(z, w2)}",
            weights(w1=(4, 3, 1, 1), w2=(16, 5)),
        ),
        FlattenTiles(),
    ),
    "reshape": Case(
        lambda: (
            _FLAT + "<int64[2] t = {0, -1}> {h = Conv(x, w1) z = Reshape(h, t) y = MatMul(z, w2)}",
            weights(w1=(4, 3, 1, 1), w2=(16, 5)),
        ),
        ReshapeTiles(),
    ),
    "reshape target": Case(
        lambda: (
            _FLAT + "<int64[2] t = {-1, 16}> {h = Conv(x, w1) z = Reshape(h, t) y = MatMul(z, w2)}",
            weights(w1=(4, 3, 1, 1), w2=(16, 5)),
        ),
        ReshapeKeepsItsTarget(),
    ),
    "depthwise group": Case(
        lambda: chain("z = Conv <group = 4> (h, d)", d=(4, 1, 1, 1)), ConvForgetsTheGroups()
    ),
    "depthwise multiplier": Case(
        lambda: (
            _MAPS + "{h = Conv <group = 1> (x, w1) k = Relu(h) z = Conv <group = 4> (k, d)"
            " y = Conv <group = 1> (z, w2)}",
            weights(w1=(4, 3, 1, 1), d=(8, 1, 1, 1), w2=(2, 8, 1, 1)),
        ),
        ConvTilesTheMultiplier(),
    ),
    "conv backwards": Case(lambda: chain("z = Relu(h)"), ConvReadsBackwards()),
    "conv bias": Case(
        lambda: (
            _MAPS + "{h = Conv(x, w1, b) z = Relu(h) y = Conv(z, w2)}",
            weights(w1=(4, 3, 1, 1), b=(4,), w2=(2, 4, 1, 1)),
        ),
        ConvForgetsTheBias(),
    ),
    "conv blocks": Case(
        lambda: chain("z = Conv <group = 2> (h, d)", d=(4, 2, 1, 1)), ConvForgetsTheBlocks()
    ),
    "gemm transposed": Case(
        lambda: perceptron("k = Gemm(h, w2) z = Relu(k)", w2=(6, 6)),
        GemmTransposed(),
        (("w1", 1, (0,)),),
    ),
    "gemm bias": Case(
        lambda: perceptron("k = Gemm(h, w2, b) z = Relu(k)", w2=(6, 6), b=(6,)),
        GemmForgetsTheBias(),
        (("w2", 1, (0, 2)),),
    ),
    "matmul backwards": Case(
        lambda: perceptron("k = MatMul(h, w2) z = Relu(k)", w2=(6, 6)),
        MatMulReadsBackwards(),
        (("w1", 1, (0,)),),
    ),
    "matmul rows": Case(
        lambda: perceptron("k = MatMul(h, w2) z = Relu(k)", w2=(6, 6)),
        MatMulForgetsItsRows(),
        (("w1", 1, (0,)),),
    ),
}


def with_fault(broken: OpRule) -> tuple[OpRule, ...]:
    """Returns the rules with `broken` in the place of the one it is derived from."""
    return tuple(broken if isinstance(broken, type(rule)) else rule for rule in RULES)


def units_at(channel_map: ChannelMap, case: Case) -> Ids:
    """Returns the units behind the positions that a case removes."""
    found = [channel_map.axes[name, axis][list(at)] for name, axis, at in case.removed]
    return np.unique(np.concatenate(found))


def attempt(case: Case, rules: tuple[OpRule, ...], *, prove: bool) -> None:
    """Cuts the case's network by `rules`; raises where the oracle, or the proof, objects."""
    text, arrays = case.net()
    model = normalize(load(proto_of(text, arrays)))
    channel_map = analyze(model, rules)
    removed = units_at(channel_map, case)
    free = {int(unit) for group in channel_map.groups for unit in group.units}
    if not set(removed.tolist()) <= free:
        pytest.fail("the fault freezes the units, so it misleads nobody")
    plan = make_plan(channel_map, model.graph.initializers, removed, "")
    shape = [2 if not isinstance(d, int) else d for d in model.graph.inputs[0].shape or ()]
    inputs = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    thinner = cut(model, channel_map, plan, rules)
    if prove:
        verify(model, thinner, channel_map, removed, inputs, 2)
    else:
        assert_equal_to_masked(model, channel_map, removed, thinner, inputs)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("prove", [False, True], ids=["oracle", "proof"])
def test_the_network_passes_with_the_rules_as_they_are(name: str, prove: bool) -> None:
    attempt(CASES[name], RULES, prove=prove)


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_catches_the_broken_rule(name: str) -> None:
    case = CASES[name]
    with pytest.raises((AssertionError, OnnxtrimError, InvalidArgument, Fail, RuntimeException)):
        attempt(case, with_fault(case.broken), prove=False)


@pytest.mark.parametrize("name", CASES)
def test_the_proof_catches_the_broken_rule(name: str) -> None:
    case = CASES[name]
    with pytest.raises((VerificationError, ShapeError)):
        attempt(case, with_fault(case.broken), prove=True)
