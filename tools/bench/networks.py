"""Networks at their published widths, with seeded random weights: VGG-16 and YOLOv3.

Weights are normal with the deviation sqrt(2 / fan-in), so that figures neither vanish nor explode.
The scales of the batch normalisations of `yolov3` are spread as training with an L1 penalty leaves
them: a share of them near 0, which grows from `SMALL[0]` in the first layer to `SMALL[1]` in the
last, the others around 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

__all__ = ["VGG16", "vgg16", "yolov3"]

VGG16: Mapping[str, int] = {
    **{f"conv{stage}_{n}": 64 * stage for stage in (1, 2) for n in (1, 2)},
    **{f"conv3_{n}": 256 for n in (1, 2, 3)},
    **{f"conv{stage}_{n}": 512 for stage in (4, 5) for n in (1, 2, 3)},
    "fc1": 4096,
    "fc2": 4096,
    "fc3": 1000,
}
"""Widths of its layers."""
LAST_OF_STAGE = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")

SMALL = (0.3, 0.7)
SMALL_SCALE, LARGE_SCALE = (0.0, 0.01), (1.0, 0.3)
NORMALISED = 72
"""Convolutions of YOLOv3 with a batch normalisation."""


class _Network:
    """A graph that grows node by node; tensors are named after the nodes that make them."""

    def __init__(self, size: int, seed: int) -> None:
        """Starts at an image of a size."""
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.widths = {"image": 3}
        self.size = size

    def weight(self, name: str, values: npt.NDArray[np.floating[Any]]) -> str:
        """Returns the name of a new weight."""
        self.weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, op: str, name: str, inputs: Sequence[str], width: int, **attributes: Any) -> str:  # noqa: ANN401
        """Returns the tensor, of some channels, that a new node makes."""
        self.nodes.append(onnx.helper.make_node(op, inputs, [name], name, **attributes))
        self.widths[name] = width
        return name

    def random(self, *shape: int) -> npt.NDArray[np.float32]:
        """Returns weights whose first axis makes the outputs."""
        values = self.rng.standard_normal(shape, np.float32)
        return values * np.float32(np.sqrt(2 / np.prod(shape[1:])))

    def conv(
        self, x: str, name: str, width: int, size: int = 3, stride: int = 1, *, bias: bool
    ) -> str:
        """Returns what a convolution makes of a tensor, at its sides divided by the stride."""
        weights = [self.weight(f"{name}.weight", self.random(width, self.widths[x], size, size))]
        if bias:
            weights.append(self.weight(f"{name}.bias", self.rng.normal(0, 0.05, width)))
        shape = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        return self.node("Conv", name, [x, *weights], width, **shape)

    def dense(self, x: str, name: str, width: int) -> str:
        """Returns what a fully connected layer makes of a tensor."""
        weight = self.weight(f"{name}.weight", self.random(width, self.widths[x]))
        bias = self.weight(f"{name}.bias", self.rng.normal(0, 0.05, width))
        return self.node("Gemm", name, [x, weight, bias], width, transB=1)

    def block(self, x: str, name: str, width: int, size: int, stride: int = 1) -> str:
        """Returns what a convolution, a batch normalisation and a LeakyRelu make of a tensor."""
        done = sum(node.op_type == "BatchNormalization" for node in self.nodes)
        share = SMALL[0] + (SMALL[1] - SMALL[0]) * done / (NORMALISED - 1)
        small = self.rng.random(width) < share
        scale = np.where(small, *(self.rng.normal(*of, width) for of in (SMALL_SCALE, LARGE_SCALE)))
        values = {
            "scale": np.abs(scale),
            "bias": self.rng.normal(0, 0.1, width),
            "mean": self.rng.normal(0, 0.1, width),
            "var": self.rng.uniform(0.5, 1.5, width),
        }
        x = self.conv(x, f"{name}.conv", width, size, stride, bias=False)
        weights = [self.weight(f"{name}.bn.{key}", value) for key, value in values.items()]
        x = self.node("BatchNormalization", f"{name}.bn", [x, *weights], width, epsilon=1e-5)
        return self.node("LeakyRelu", f"{name}.act", [x], width, alpha=0.1)

    def model(self, outputs: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
        """Returns the model whose outputs, of some shapes, are tensors of these names."""
        kind = onnx.TensorProto.FLOAT
        (x,) = (onnx.helper.make_tensor_value_info("image", kind, [1, 3, self.size, self.size]),)
        ys = [onnx.helper.make_tensor_value_info(n, kind, shape) for n, shape in outputs.items()]
        graph = onnx.helper.make_graph(self.nodes, "network", [x], ys, self.weights)
        imports = [onnx.helper.make_opsetid("", 17)]
        return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


def vgg16(seed: int = 0) -> onnx.ModelProto:
    """Returns VGG-16 for an image of 224 x 224 and 1,000 classes."""
    net, x, side = _Network(224, seed), "image", 224
    for name, width in VGG16.items():
        if name.startswith("conv"):
            x = net.conv(x, name, width, bias=True)
        else:
            if name == "fc1":
                x = net.node("Flatten", "flatten", [x], net.widths[x] * side**2, axis=1)
            x = net.dense(x, name, width)
        if name != "fc3":
            x = net.node("Relu", f"{name}.relu", [x], width)
        if name in LAST_OF_STAGE:
            halved = {"kernel_shape": [2, 2], "strides": [2, 2]}
            x, side = net.node("MaxPool", f"{name}.pool", [x], width, **halved), side // 2
    return net.model({x: [1, VGG16["fc3"]]})


def yolov3(seed: int = 0) -> onnx.ModelProto:
    """Returns YOLOv3 for an image of 416 x 416 and 80 classes: three outputs of 255 channels."""
    net = _Network(416, seed)
    x, routes = net.block("image", "stem", 32, 3), []
    for stage, repeats in enumerate((1, 2, 8, 8, 4), 1):
        width = 32 * 2**stage
        x = net.block(x, f"down{stage}", width, 3, stride=2)
        for n in range(1, repeats + 1):
            inner = net.block(x, f"stage{stage}.{n}.a", width // 2, 1)
            inner = net.block(inner, f"stage{stage}.{n}.b", width, 3)
            x = net.node("Add", f"stage{stage}.{n}", [x, inner], width)
        routes.append(x)
    scales = net.weight("upsample.scales", np.array([1.0, 1.0, 2.0, 2.0]))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    outputs = {}
    for head, (width, side) in enumerate(((512, 13), (256, 26), (128, 52)), 1):
        if head > 1:
            x = net.block(x, f"lateral{head}", width, 1)
            inputs = [x, "", scales]
            x = net.node("Resize", f"up{head}", inputs, width, nearest_mode="floor", **nearest)
            other = routes[-head]
            x = net.node("Concat", f"cat{head}", [x, other], width + net.widths[other], axis=1)
        for n in range(1, 6):
            x = net.block(x, f"head{head}.{n}", *((width, 1) if n % 2 else (2 * width, 3)))
        inner = net.block(x, f"head{head}.6", 2 * width, 3)
        outputs[net.conv(inner, f"head{head}.out", 255, 1, bias=True)] = [1, 255, side, side]
    return net.model(outputs)
