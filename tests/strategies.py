"""Random networks from every operator that can be cut, small enough to run in milliseconds."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from blocks import BLOCKS, conv
from hypothesis import strategies as st
from nets import SIZE, Map, Net
from onnx import TensorProto, helper, numpy_helper
from oracle import Arrays

_BATCH = 2


@dataclass(frozen=True)
class Example:
    """A random model and an input for it."""

    model: onnx.ModelProto
    inputs: Arrays = field(repr=False)

    def __repr__(self) -> str:
        """Returns the graph as text."""
        return onnx.printer.to_text(self.model)


@st.composite
def networks(draw: st.DrawFn) -> Example:
    """Draws a feed-forward network of blocks and one or two heads."""
    seed = draw(st.integers(0, 2**32 - 1))
    net = Net(draw, np.random.default_rng(seed), draw(st.sampled_from([12, 13, 17, 21])))
    maps = [("x", 3), conv(net, [("x", 3)])]
    for _ in range(draw(st.integers(1, 6))):
        block = draw(st.sampled_from(BLOCKS))
        maps.append(block(net, maps))
    outputs = [draw(st.sampled_from(_HEADS))(net, *maps[-1])]
    if draw(st.booleans()):
        outputs.append(draw(st.sampled_from(_HEADS))(net, *draw(st.sampled_from(maps))))
    batch: str | int = "N" if draw(st.booleans()) else _BATCH
    inputs = net.rng.standard_normal((_BATCH, 3, SIZE, SIZE)).astype(np.float32)
    return Example(_model(net, outputs, batch), {"x": inputs})


def _model(net: Net, outputs: list[str], batch: str | int) -> onnx.ModelProto:
    """Returns the network as a model, its initializers in random order."""
    names = net.draw(st.permutations(sorted(net.weights)))
    shape = [batch, 3, SIZE, SIZE]
    graph = helper.make_graph(
        net.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(net.weights[name], name) for name in names],
        value_info=[
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, width, SIZE, SIZE])
            for name, width in net.maps.items()
        ],
    )
    opset = [helper.make_opsetid("", net.opset)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and net.opset >= 18:
            axes = net.weights.get(f"{node.name}.axes", np.array([2, 3], dtype=np.int64))
            del node.attribute[0]
            node.input.append(f"{node.name}.axes")
            model.graph.initializer.append(numpy_helper.from_array(axes, f"{node.name}.axes"))
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _flat(net: Net, x: str, channels: int) -> Map:
    """Returns a matrix made of a map: flattened, or averaged over space."""
    way = net.draw(st.sampled_from(["Flatten", "Reshape0", "Reshape-1", "ReduceMean", "Pool"]))
    full = channels * SIZE * SIZE
    if way == "Flatten":
        return net.node("Flatten", [x], axis=net.draw(st.sampled_from([1, -3]))), full
    if way == "Reshape0":
        return net.node("Reshape", [x, net.constant(np.array([0, -1], dtype=np.int64))]), full
    if way == "Reshape-1":
        return net.node("Reshape", [x, net.constant(np.array([-1, full], dtype=np.int64))]), full
    if way == "ReduceMean":
        return net.node("ReduceMean", [x], axes=[2, 3], keepdims=0), channels
    return net.node("Flatten", [net.node("GlobalAveragePool", [x])]), channels


def _gemm_head(net: Net, x: str, channels: int) -> str:
    """Adds two fully connected layers as Gemm, with or without transposed weights."""
    flat, width = _flat(net, x, channels)
    hidden = net.draw(st.integers(2, 6))
    for given, made in ((width, hidden), (hidden, 4)):
        transposed = net.draw(st.booleans())
        weight = net.weight(made, given) if transposed else net.weight(given, made)
        shape = net.draw(st.sampled_from([(made,), (1, made), (1,)]))
        flat = net.node("Gemm", [flat, weight, net.weight(*shape)], transB=int(transposed))
        flat = net.node("Relu", [flat]) if made == hidden else flat
    return flat


def _matmul_head(net: Net, x: str, channels: int) -> str:
    """Adds two fully connected layers as MatMul and Add."""
    flat, width = _flat(net, x, channels)
    hidden = net.draw(st.integers(2, 6))
    for given, made in ((width, hidden), (hidden, 4)):
        product = net.node("MatMul", [flat, net.weight(given, made)])
        flat = net.node("Add", [product, net.weight(made)])
        flat = net.node("Tanh", [flat]) if made == hidden else flat
    return flat


def _conv_head(net: Net, x: str, channels: int) -> str:
    """Adds a last convolution."""
    return conv(net, [(x, channels)])[0]


_HEADS = [_gemm_head, _matmul_head, _conv_head]
