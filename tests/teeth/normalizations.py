"""Faults in rules of operators that compare positions with one another."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.ops.along_axis import AlongAxis, ArgReduce, CumSum, SoftmaxBefore13
from onnxtrim.channels.ops.batch_normalization import BatchNormalization
from onnxtrim.channels.ops.group_normalization import GroupNormalization
from onnxtrim.channels.ops.instance_normalization import InstanceNormalization
from onnxtrim.channels.ops.layer_normalization import LayerNormalization, MeanVarianceNormalization
from onnxtrim.channels.ops.lrn import LRN
from onnxtrim.channels.ops.operands import bind_like, hand_on, sizes_of
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import int_attr
from teeth.bite import Case, Net, chain, deep, freezes, ids_at, net


class BatchNormalizationForgetsTheVariance(BatchNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        for vector in node.inputs[1:4]:
            rel.same(rel.axis(vector, 0), rel.axis(node.inputs[0], 1))
        rel.axis(node.inputs[4], 0)


class BatchNormalizationReversesTheMean(BatchNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        channels = ids_at(rel, node.inputs[0])
        bind_like(rel, node.outputs[0], node.inputs[0])
        for index, vector in enumerate(node.inputs[1:5]):
            rel.same(rel.axis(vector, 0), channels[::-1] if index == 2 else channels)


class GroupNormalizationTakesEverySecond(GroupNormalization):
    """Groups are neighbours; it takes equal positions of two blocks for one."""

    def relate(self, node: ir.Node, rel: Relations) -> None:
        channels = rel.axis(node.inputs[0], 1)
        rel.same_across_blocks(channels, 2)
        for vector in node.inputs[1:3]:
            rel.same(rel.axis(vector, 0), channels)
        rel.bind(node.outputs[0], 1, channels)


class GroupNormalizationForgetsTheGroups(GroupNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        channels = rel.axis(node.inputs[0], 1)
        for vector in node.inputs[1:3]:
            rel.same(rel.axis(vector, 0), channels)
        rel.bind(node.outputs[0], 1, channels)


class InstanceNormalizationReversesTheBias(InstanceNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        channels = ids_at(rel, node.inputs[0])
        rel.same(rel.axis(node.inputs[1], 0), channels)
        rel.same(rel.axis(node.inputs[2], 0), channels[::-1])
        rel.bind(node.outputs[0], 1, channels)


class LRNForgetsToFreeze(LRN):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class LayerNormalizationForgetsToFreeze(LayerNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.same(rel.axis(node.inputs[1], 0), rel.axis(node.inputs[0], 1))


class LayerNormalizationForgetsTheScale(LayerNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])
        rel.axis(node.inputs[1], 0)


class MeanVarianceNormalizationForgetsToFreeze(MeanVarianceNormalization):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class SoftmaxForgetsToFreeze(AlongAxis):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class SoftmaxBefore13Miscounts(SoftmaxBefore13):
    """It takes axis -1 for the place behind the last axis."""

    def relate(self, node: ir.Node, rel: Relations) -> None:
        rank = len(sizes_of(node.inputs[0]))
        first = int_attr(node, "axis", 1) % (rank + 1)
        hand_on(rel, node, dict.fromkeys(range(first, rank), "it is compared"))


class SoftmaxBefore13TakesOneAxis(SoftmaxBefore13):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        hand_on(rel, node, {int_attr(node, "axis", 1): "it is compared"})


class CumSumForgetsToFreeze(CumSum):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        bind_like(rel, node.outputs[0], node.inputs[0])


class ArgMaxForgetsToFreeze(ArgReduce):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.axis(node.inputs[0], 1)


def _batch() -> Net:
    """Returns a batch normalisation with its four vectors."""
    middle = "z = BatchNormalization(h, s, b, m, var)"
    return chain(middle, s=(4,), b=(4,), m=(4,), var=(4,))


def _group() -> Net:
    """Returns a group normalisation of two groups of two channels."""
    return chain("z = GroupNormalization <num_groups = 2> (h, s, b)", opset=21, s=(4,), b=(4,))


def _softmax_of_features() -> Net:
    """Returns products with a softmax over features, written by a negative axis."""
    return net(
        "(float[N, 4] x) => (float[N, 3] y)",
        "g = MatMul(x, w0) r = Relu(g) h = MatMul(r, w1) z = Softmax <axis = -1> (h)"
        " y = MatMul(z, w2)",
        11,
        w0=(4, 5), w1=(5, 6), w2=(6, 3),
    )  # fmt: skip


CASES = {
    "bn variance": Case(_batch, BatchNormalizationForgetsTheVariance()),
    "bn mean": Case(_batch, BatchNormalizationReversesTheMean()),
    "group normalization": Case(_group, GroupNormalizationTakesEverySecond()),
    "group normalization alone": Case(_group, GroupNormalizationForgetsTheGroups()),
    "instance normalization": Case(
        lambda: chain("z = InstanceNormalization(h, s, b)", s=(4,), b=(4,)),
        InstanceNormalizationReversesTheBias(),
    ),
    "lrn": freezes(lambda: deep("z = LRN <size = 3, alpha = 0.5> (h)"), LRNForgetsToFreeze()),
    "layer normalization": freezes(
        lambda: deep("z = LayerNormalization <axis = 1> (h, s)", opset=17, s=(4, 4, 4)),
        LayerNormalizationForgetsToFreeze(),
    ),
    "layer normalization scale": Case(
        lambda: chain("z = LayerNormalization(h, s)", opset=17, s=(4, 1, 4)),
        LayerNormalizationForgetsTheScale(),
    ),
    "mean variance": freezes(
        lambda: deep("z = MeanVarianceNormalization <axes = [1, 2, 3]> (h)"),
        MeanVarianceNormalizationForgetsToFreeze(),
    ),
    "softmax": freezes(lambda: deep("z = Softmax <axis = 1> (h)"), SoftmaxForgetsToFreeze()),
    "softmax before 13": Case(
        _softmax_of_features,
        SoftmaxBefore13Miscounts(),
        removed=(("w1", 1, (0,)),),
        free=(("w0", 1, (0,)),),
    ),
    "softmax before 13 from the batch on": freezes(
        lambda: deep("z = Softmax <axis = 0> (h)", opset=11), SoftmaxBefore13TakesOneAxis()
    ),
    "cumulative sum": freezes(
        lambda: deep("z = CumSum(h, axis)", axis=np.array(1)), CumSumForgetsToFreeze()
    ),
    "arg max": freezes(
        lambda: deep("i = ArgMax <axis = 1> (h) z = Cast <to = 1> (i)", 1),
        ArgMaxForgetsToFreeze(),
    ),
}
