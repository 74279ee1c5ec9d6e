"""Measures how long the analysis of graphs of growing size takes, and prints JSON.

    python tools/bench/analysis.py [NODES ...]

Two families: a residual network of Conv, BatchNormalization and Relu with 128 channels, and a
transformer of width 128 with 4 heads. Matrices and kernels are declared external and lie in no
file, so that a read of any of them would fail.
"""

import json
import sys
import time

import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from onnxtrim.channels import analyze
from onnxtrim.graph import normalize

WIDTH = 128
HEADS = 4
TOKENS = 16


class Builder:
    """A graph under construction whose weights lie nowhere."""

    def __init__(self) -> None:
        """Starts empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, *shape: int) -> str:
        """Returns the name of a new weight; one of several axes lies nowhere."""
        name = f"w{len(self.weights)}"
        if len(shape) == 1:
            self.weights.append(
                helper.make_tensor(name, TensorProto.FLOAT, shape, [1.0] * shape[0])
            )
            return name
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="absent.bin")
        self.weights.append(tensor)
        return tensor.name

    def ints(self, *values: int) -> str:
        """Returns the name of a new constant vector."""
        name = f"i{len(self.weights)}"
        self.weights.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Returns the output of a new node."""
        name = f"n{len(self.nodes)}"
        node = helper.make_node(op, inputs, [name], name=name)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.nodes.append(node)
        return name

    def model(self, output: str, shape: list[int]) -> ir.Model:
        """Returns the finished model."""
        value = helper.make_tensor_value_info
        last = self.node("Relu", output)
        graph = helper.make_graph(
            self.nodes,
            "bench",
            [value("x", TensorProto.FLOAT, shape)],
            [value(last, TensorProto.FLOAT, shape)],
            self.weights,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return ir.from_proto(proto)


def residual_network(nodes: int) -> ir.Model:
    """Returns blocks of six nodes around a stream."""
    net = Builder()
    x = net.node("Conv", "x", net.weight(WIDTH, WIDTH, 1, 1))
    while len(net.nodes) < nodes - 1:
        h = net.node("Conv", x, net.weight(WIDTH, WIDTH, 3, 3), pads=[1] * 4)
        h = net.node("BatchNormalization", h, *(net.weight(WIDTH) for _ in range(4)))
        h = net.node("Conv", net.node("Relu", h), net.weight(WIDTH, WIDTH, 3, 3), pads=[1] * 4)
        x = net.node("Relu", net.node("Add", x, h))
    head = net.node("Conv", x, net.weight(WIDTH, WIDTH, 1, 1))
    return net.model(head, [1, WIDTH, 8, 8])


def transformer(nodes: int) -> ir.Model:
    """Returns encoder layers of 25 nodes."""
    net = Builder()
    x = "x"
    while len(net.nodes) < nodes - 1:
        n = net.node("LayerNormalization", x, net.weight(WIDTH))
        q, k, v = (_heads(net, n, perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = net.node("Softmax", net.node("MatMul", q, k), axis=-1)
        mixed = net.node("Transpose", net.node("MatMul", scores, v), perm=[0, 2, 1, 3])
        flat = net.node("Reshape", mixed, net.ints(1, TOKENS, WIDTH))
        x = net.node("Add", x, net.node("MatMul", flat, net.weight(WIDTH, WIDTH)))
        n = net.node("LayerNormalization", x, net.weight(WIDTH))
        h = net.node("Add", net.node("MatMul", n, net.weight(WIDTH, 512)), net.weight(512))
        h = net.node("MatMul", net.node("Relu", h), net.weight(512, WIDTH))
        x = net.node("Add", x, h)
    return net.model(x, [1, TOKENS, WIDTH])


def _heads(net: Builder, x: str, perm: list[int]) -> str:
    """Returns a projection split into heads."""
    h = net.node("Add", net.node("MatMul", x, net.weight(WIDTH, WIDTH)), net.weight(WIDTH))
    h = net.node("Reshape", h, net.ints(1, TOKENS, HEADS, WIDTH // HEADS))
    return net.node("Transpose", h, perm=perm)


def main() -> None:
    """Prints nodes, seconds and units for each family and size."""
    rows = []
    for family in (residual_network, transformer):
        for nodes in [int(argument) for argument in sys.argv[1:]] or [250, 500, 1000, 2000]:
            model = normalize(family(nodes))
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                found = analyze(model)
                seconds.append(time.perf_counter() - start)
            rows.append(
                {
                    "family": family.__name__,
                    "nodes": len(model.graph),
                    "seconds": round(min(seconds), 4),
                    "groups": len(found.groups),
                    "free_units": sum(group.width for group in found.groups),
                }
            )
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
