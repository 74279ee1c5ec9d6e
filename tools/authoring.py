"""ONNX models written node by node from chains of torch layers, and checked against them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
import torch
from torch import nn

__all__ = ["checked_logits", "to_onnx", "write_atomically"]

TOLERANCE = 1e-5

Attributes = dict[str, int | float | list[int]]

# The ONNX operator of each kind of layer, and its attributes where they are always the same.
OPERATORS: dict[type[nn.Module], tuple[str, Attributes]] = {
    nn.Conv2d: ("Conv", {}),
    nn.BatchNorm2d: ("BatchNormalization", {}),
    nn.ReLU: ("Relu", {}),
    nn.MaxPool2d: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    nn.Flatten: ("Flatten", {"axis": 1}),
    nn.Linear: ("Gemm", {"transB": 1}),
}


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _attributes(layer: nn.Module) -> Attributes:
    """Returns the attributes of a layer's ONNX node."""
    found = dict(OPERATORS[type(layer)][1])
    if isinstance(layer, nn.Conv2d):
        found["kernel_shape"] = list(layer.kernel_size)
        if any(int(pad) for pad in layer.padding):
            found["pads"] = [int(pad) for pad in layer.padding] * 2
    if isinstance(layer, nn.BatchNorm2d):
        found["epsilon"] = layer.eps
    return found


def _weights(name: str, layer: nn.Module) -> Iterator[gs.Constant]:
    """Yields the weights of a layer, in the order of the operands, named after it."""
    for part, values in layer.state_dict().items():
        if part != "num_batches_tracked":
            yield gs.Constant(f"{name}.{part}", np.ascontiguousarray(values.numpy()))


def to_onnx(
    network: nn.Sequential, name: str, input_name: str, shape: tuple[int, ...]
) -> onnx.ModelProto:
    """Author the ONNX model of a chain of layers for samples of a shape, opset 17, IR version 8."""
    source = gs.Variable(input_name, np.float32, ["N", *shape])
    logits = gs.Variable("logits", np.float32, ["N", 10])
    layers = list(network.named_children())
    inner = [gs.Variable(f"{layer_name}.out", np.float32) for layer_name, _ in layers[:-1]]
    ends = zip(layers, [source, *inner], [*inner, logits], strict=True)
    nodes = [
        gs.Node(
            OPERATORS[type(layer)][0],
            key,
            _attributes(layer),
            [before, *_weights(key, layer)],
            [after],
        )
        for (key, layer), before, after in ends
    ]
    graph = gs.Graph(nodes, [source], [logits], name=name, opset=17, ir_version=8)
    return onnx.shape_inference.infer_shapes(gs.export_onnx(graph), strict_mode=True)


def checked_logits(
    model: onnx.ModelProto, network: nn.Module, inputs: npt.NDArray[np.float32], batch: int = 2000
) -> npt.NDArray[np.float32]:
    """Returns a model's logits, once they are those of the network that it was made from."""
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = []
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        found.append(np.asarray(session.run(["logits"], {name: part})[0]))
        with torch.no_grad():
            expected = network(torch.from_numpy(part)).numpy()
        difference = np.abs(found[-1] - expected).max() / max(1.0, np.abs(expected).max())
        if not difference <= TOLERANCE:  # Not ">", which a NaN would pass.
            raise ValueError(f"ONNX Runtime and torch differ by {difference:.1e}")
    return np.concatenate(found)
