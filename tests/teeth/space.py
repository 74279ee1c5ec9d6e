"""Faults in rules of operators over space."""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops.depth_to_space import DepthToSpace, SpaceToDepth
from onnxtrim.channels.ops.operands import sizes_of
from onnxtrim.channels.ops.pool import Pool
from onnxtrim.channels.ops.reduce import Reduce
from onnxtrim.channels.ops.resize import Resize, ResizeBefore11, Upsample
from onnxtrim.channels.ops.sampling import Sampling
from onnxtrim.channels.ops.shape import ShapeOf
from onnxtrim.channels.relations import Relations
from teeth.bite import Case, Net, chain, deep, freezes, ids_at, net, reverse_channels

_LARGE = "N, 2, 8, 8"


class PoolReversed(Pool):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        reverse_channels(rel, node)


class ReduceReversed(Reduce):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class ReduceForgetsToFreeze(Reduce):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.axis(node.inputs[0], 1)


class ResizeKeepsItsSizes(Resize):
    def rewrite(self, node: ir.Node, kept: Kept) -> None:
        pass


class ResizeReversed(Resize):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class ResizeBefore11Reversed(ResizeBefore11):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class UpsampleReversed(Upsample):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class SamplingReversed(Sampling):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


class DepthToSpaceTakesTheOtherMode(DepthToSpace):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        ids = rel.axis(node.inputs[0], 1)
        crd = node.attributes["mode"].as_string() == "CRD"
        rel.bind(node.outputs[0], 1, rel.same_across_blocks(ids, 4) if crd else rel.block(ids, 4))


class SpaceToDepthRepeats(SpaceToDepth):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        rel.bind(node.outputs[0], 1, np.repeat(ids_at(rel, node.inputs[0]), 4))


class ShapeForgetsToFreeze(ShapeOf):
    def relate(self, node: ir.Node, rel: Relations) -> None:
        for axis in range(len(sizes_of(node.inputs[0]))):
            rel.axis(node.inputs[0], axis)


def _resized(operator: str, opset: int, **given: np.ndarray) -> Net:
    """Returns maps of twice the height and width."""
    return chain(f"z = {operator}", 4, opset, _LARGE, **given)


def _into_space(mode: str) -> Net:
    """Returns 8 channels as two maps of twice the height and width."""
    return net(
        f"(float[N, 3, 4, 4] x) => (float[{_LARGE}] y)",
        f'h = Conv(x, w1) z = DepthToSpace <blocksize = 2, mode = "{mode}"> (h) y = Conv(z, w2)',
        w1=(8, 3, 1, 1), w2=(2, 2, 1, 1),
    )  # fmt: skip


def _sampled() -> Net:
    """Returns maps sampled at fixed places."""
    grid = np.random.default_rng(3).uniform(-1, 1, (2, 4, 4, 2)).astype(np.float32)
    return net(
        "(float[2, 3, 4, 4] x) => (float[2, 2, 4, 4] y)",
        "h = Conv(x, w1) z = GridSample(h, grid) y = Conv(z, w2)",
        16,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), grid=grid,
    )  # fmt: skip


_SCALES = np.array([1, 1, 2, 2], np.float32)

CASES = {
    "pool": Case(
        lambda: chain("z = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h)"),
        PoolReversed(),
    ),
    "reduce": Case(
        lambda: net(
            "(float[2, 3, 4, 4] x) => (float[2, 5] y)",
            "h = Conv(x, w1) z = ReduceMean <axes = [2, 3], keepdims = 0> (h) y = MatMul(z, w2)",
            w1=(4, 3, 1, 1), w2=(4, 5),
        ),
        ReduceReversed(),
    ),
    "reduce channels": freezes(
        lambda: deep("z = ReduceMean <axes = [1]> (h)", 1), ReduceForgetsToFreeze()
    ),
    "resize": Case(lambda: _resized("Resize(h, , s)", 13, s=_SCALES), ResizeReversed()),
    "resize sizes": Case(
        lambda: _resized("Resize <axes = [1, 2, 3]> (h, , , s)", 18, s=np.array([4, 8, 8])),
        ResizeKeepsItsSizes(),
    ),
    "resize before 11": Case(
        lambda: _resized("Resize(h, s)", 10, s=_SCALES), ResizeBefore11Reversed()
    ),
    "upsample": Case(
        lambda: _resized("Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (h)", 8), UpsampleReversed()
    ),
    "sampling": Case(_sampled, SamplingReversed()),
    "depth to space crd": Case(lambda: _into_space("CRD"), DepthToSpaceTakesTheOtherMode()),
    "depth to space dcr": Case(lambda: _into_space("DCR"), DepthToSpaceTakesTheOtherMode()),
    "space to depth": Case(
        lambda: chain("z = SpaceToDepth <blocksize = 2> (h)", 16, made="N, 2, 2, 2"),
        SpaceToDepthRepeats(),
    ),
    "shape": freezes(
        lambda: deep(
            "s = Shape(h) m = ReduceProd <keepdims = 0> (s) f = Cast <to = 1> (m) z = Mul(h, f)"
        ),
        ShapeForgetsToFreeze(),
    ),
}  # fmt: skip
