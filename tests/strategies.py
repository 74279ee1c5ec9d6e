"""Random networks from every operator that can be cut, small enough to run in milliseconds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from oracle import Arrays

_SIZE = 6
_BATCH = 2


@dataclass
class _Net:
    """A network under construction: feature maps of one spatial size, then matrices."""

    draw: st.DrawFn
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: Arrays = field(default_factory=dict)
    count: int = 0

    def node(
        self,
        op: str,
        inputs: list[str],
        **attributes: int | list[int] | str | onnx.TensorProto | None,
    ) -> str:
        """Returns the output of a new node."""
        self.count += 1
        name = f"{op.lower()}{self.count}"
        given: dict[str, Any] = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.y"], name=name, **given))
        return f"{name}.y"

    def weight(self, *shape: int, positive: bool = False) -> str:
        """Returns a new random constant, an initializer or the output of a Constant node."""
        self.count += 1
        array = self.rng.standard_normal(shape)
        fan_in = max(int(np.prod(shape[1:])), 1)
        array = np.abs(array) + 0.5 if positive else array / np.sqrt(fan_in)
        return self.constant(array.astype(np.float32))

    def constant(self, array: npt.NDArray[np.generic]) -> str:
        """Returns a new constant with the given values."""
        self.count += 1
        name = f"w{self.count}"
        if self.draw(st.booleans()):
            self.weights[name] = array
            return name
        return self.node("Constant", [], value=numpy_helper.from_array(array, name))


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
    """Draws a feed-forward network with residuals, concatenations and one or two heads."""
    seed = draw(st.integers(0, 2**32 - 1))
    net = _Net(draw, np.random.default_rng(seed))
    maps = [("x", 3)]
    for _ in range(draw(st.integers(1, 6))):
        block = draw(st.sampled_from(_BLOCKS))
        maps.append(block(net, maps))
    outputs = [draw(st.sampled_from(_HEADS))(net, *maps[-1])]
    if draw(st.booleans()):
        outputs.append(draw(st.sampled_from(_HEADS))(net, *draw(st.sampled_from(maps))))
    batch: str | int = "N" if draw(st.booleans()) else _BATCH
    inputs = net.rng.standard_normal((_BATCH, 3, _SIZE, _SIZE)).astype(np.float32)
    return Example(_model(net, outputs, batch), {"x": inputs})


def _model(net: _Net, outputs: list[str], batch: str | int) -> onnx.ModelProto:
    """Returns the network as a model, its initializers in random order."""
    names = net.draw(st.permutations(sorted(net.weights)))
    shape = [batch, 3, _SIZE, _SIZE]
    graph = helper.make_graph(
        net.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(net.weights[name], name) for name in names],
    )
    opset = net.draw(st.sampled_from([13, 17, 21]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and opset >= 18:
            axes = net.weights.get(f"{node.name}.axes", np.array([2, 3], dtype=np.int64))
            del node.attribute[0]
            node.input.append(f"{node.name}.axes")
            model.graph.initializer.append(numpy_helper.from_array(axes, f"{node.name}.axes"))
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _conv(net: _Net, maps: list[tuple[str, int]], width: int | None = None) -> tuple[str, int]:
    """Adds a dense or grouped convolution that keeps the spatial size."""
    x, channels = maps[-1]
    groups = net.draw(st.sampled_from([g for g in (1, 1, 2, 3) if channels % g == 0]))
    made = width or groups * net.draw(st.integers(1, 4))
    if made % groups:
        groups = 1
    kernel = net.draw(st.sampled_from([1, 3]))
    inputs = [x, net.weight(made, channels // groups, kernel, kernel)]
    if net.draw(st.booleans()):
        inputs.append(net.weight(made))
    padding = net.draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER"]))
    pads = [kernel // 2] * 4 if padding == "pads" else None
    auto_pad = None if padding == "pads" else padding
    return net.node("Conv", inputs, group=groups, pads=pads, auto_pad=auto_pad), made


def _depthwise(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds a depthwise convolution, with one or two outputs a channel."""
    x, channels = maps[-1]
    made = channels * net.draw(st.integers(1, 2))
    weight = net.weight(made, 1, 3, 3)
    return net.node("Conv", [x, weight, net.weight(made)], group=channels, pads=[1] * 4), made


def _batch_norm(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds a batch normalisation."""
    x, channels = maps[-1]
    vectors = [net.weight(channels) for _ in range(3)] + [net.weight(channels, positive=True)]
    return net.node("BatchNormalization", [x, *vectors]), channels


def _activation(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds a function of one element."""
    x, channels = maps[-1]
    op = net.draw(
        st.sampled_from(["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Dropout", "Identity"])
    )
    if op == "Clip":
        bounds = [net.constant(np.array(v, dtype=np.float32)) for v in (0, 6)]
        return net.node(op, [x, *bounds]), channels
    return net.node(op, [x]), channels


def _scaled(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds arithmetic with one constant a channel, or with a scalar."""
    x, channels = maps[-1]
    op = net.draw(st.sampled_from(["Add", "Mul", "Sub", "Div"]))
    shape = net.draw(st.sampled_from([(channels, 1, 1), (1, channels, 1, 1), (1,), ()]))
    constant = net.weight(*shape, positive=True)
    swapped = op in ("Add", "Mul") and net.draw(st.booleans())
    return net.node(op, [constant, x] if swapped else [x, constant]), channels


def _pool(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds a pool that keeps the spatial size."""
    x, channels = maps[-1]
    op = net.draw(st.sampled_from(["MaxPool", "AveragePool"]))
    return net.node(op, [x], kernel_shape=[3, 3], pads=[1] * 4), channels


def _residual(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Adds a branch to what it started from."""
    x, channels = maps[-1]
    branch = _activation(net, [_conv(net, maps)])
    back, _ = _conv(net, [branch], width=channels)
    return net.node("Add", [x, back] if net.draw(st.booleans()) else [back, x]), channels


def _concat(net: _Net, maps: list[tuple[str, int]]) -> tuple[str, int]:
    """Joins the last map with any other, itself included."""
    x, channels = maps[-1]
    other, width = net.draw(st.sampled_from(maps))
    return net.node("Concat", [other, x], axis=net.draw(st.sampled_from([1, -3]))), channels + width


def _flat(net: _Net, x: str, channels: int) -> tuple[str, int]:
    """Returns a matrix made of a map: flattened, or averaged over space."""
    way = net.draw(st.sampled_from(["Flatten", "Reshape0", "Reshape-1", "ReduceMean", "Pool"]))
    full = channels * _SIZE * _SIZE
    if way == "Flatten":
        return net.node("Flatten", [x], axis=net.draw(st.sampled_from([1, -3]))), full
    if way == "Reshape0":
        return net.node("Reshape", [x, net.constant(np.array([0, -1], dtype=np.int64))]), full
    if way == "Reshape-1":
        return net.node("Reshape", [x, net.constant(np.array([-1, full], dtype=np.int64))]), full
    if way == "ReduceMean":
        return net.node("ReduceMean", [x], axes=[2, 3], keepdims=0), channels
    return net.node("Flatten", [net.node("GlobalAveragePool", [x])]), channels


def _gemm_head(net: _Net, x: str, channels: int) -> str:
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


def _matmul_head(net: _Net, x: str, channels: int) -> str:
    """Adds two fully connected layers as MatMul and Add."""
    flat, width = _flat(net, x, channels)
    hidden = net.draw(st.integers(2, 6))
    for given, made in ((width, hidden), (hidden, 4)):
        product = net.node("MatMul", [flat, net.weight(given, made)])
        flat = net.node("Add", [product, net.weight(made)])
        flat = net.node("Tanh", [flat]) if made == hidden else flat
    return flat


def _conv_head(net: _Net, x: str, channels: int) -> str:
    """Adds a last convolution."""
    return _conv(net, [(x, channels)])[0]


_BLOCKS = [
    _conv, _conv, _depthwise, _batch_norm, _activation, _scaled, _pool, _residual, _concat,
]  # fmt: skip
_HEADS = [_gemm_head, _matmul_head, _conv_head]
