"""Faults in rules of element-wise operators."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.ops.elementwise_binary import ElementwiseBinary, PRelu
from onnxtrim.channels.ops.elementwise_unary import Activation, Clip, PassThrough, Relu
from onnxtrim.channels.ops.operands import bind_like
from onnxtrim.channels.ops.quantize import Quantize
from onnxtrim.channels.relations import Relations
from teeth.bite import Case, chain, ids_at, reverse_channels


class ReluReversed(Relu):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reverse_channels(rel, node)


class TanhReversed(Activation):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reverse_channels(rel, node)


class ClipReversed(Clip):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reverse_channels(rel, node)


class NegReversed(PassThrough):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reverse_channels(rel, node)


class AddForgetsAnOperand(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        for operand in node.inputs[1:]:
            rel.axis(operand, -3)


class AddReversesAnOperand(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.same(rel.axis(node.inputs[0], 1), ids_at(rel, node.inputs[1])[::-1])


class WhereReversesTheCondition(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        condition, one, other = node.inputs
        bind_like(rel, node.outputs[0], one)
        rel.same(rel.axis(one, 1), rel.axis(other, 1))
        rel.same(rel.axis(one, 1), ids_at(rel, condition, 0)[::-1])


class WhereForgetsASide(ElementwiseBinary):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        condition, one, other = node.inputs
        bind_like(rel, node.outputs[0], one)
        rel.same(rel.axis(one, 1), rel.axis(condition, 0))
        rel.axis(other, 1)


class PReluReversesTheSlope(PRelu):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.same(rel.axis(node.inputs[1], 0), ids_at(rel, node.inputs[0])[::-1])


class PReluForgetsTheSlope(PRelu):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.axis(node.inputs[1], 0)


class QuantizeReversesTheScale(Quantize):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.same(rel.axis(node.inputs[1], 0), ids_at(rel, node.inputs[0])[::-1])


class QuantizeForgetsTheScale(Quantize):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.axis(node.inputs[1], 0)


def _where() -> tuple[str, dict[str, np.ndarray]]:
    """Returns a choice between two convolutions, for each channel one."""
    condition = np.array([True, False, True, False]).reshape(4, 1, 1)
    return chain("k = Conv(x, wk) z = Where(c, h, k)", wk=(4, 3, 1, 1), c=condition)


def _quantized() -> tuple[str, dict[str, np.ndarray]]:
    """Returns a quantisation with a scale for each channel, coarse enough to be seen."""
    middle = "q = QuantizeLinear(h, var) z = DequantizeLinear(q, var)"
    return chain(middle, var=(4,))


CASES = {
    "relu": Case(lambda: chain("z = Relu(h)"), ReluReversed()),
    "activation": Case(lambda: chain("z = Tanh(h)"), TanhReversed()),
    "clip": Case(lambda: chain("z = Clip(h, low)", low=np.array(0, np.float32)), ClipReversed()),
    "pass through": Case(lambda: chain("z = Neg(h)"), NegReversed()),
    "add forgets": Case(
        lambda: chain("k = Conv(x, wk) z = Add(h, k)", wk=(4, 3, 1, 1)), AddForgetsAnOperand()
    ),
    "add reverses": Case(
        lambda: chain("k = Conv(x, wk) z = Add(h, k)", wk=(4, 3, 1, 1)), AddReversesAnOperand()
    ),
    "bias forgotten": Case(lambda: chain("z = Add(h, b)", b=(1, 4, 1, 1)), AddForgetsAnOperand()),
    "where condition": Case(_where, WhereReversesTheCondition()),
    "where side": Case(_where, WhereForgetsASide()),
    "prelu reverses": Case(lambda: chain("z = PRelu(h, s)", s=(4, 1, 1)), PReluReversesTheSlope()),
    "prelu forgets": Case(lambda: chain("z = PRelu(h, s)", s=(4, 1, 1)), PReluForgetsTheSlope()),
    "quantize reverses": Case(_quantized, QuantizeReversesTheScale()),
    "quantize forgets": Case(_quantized, QuantizeForgetsTheScale()),
}
