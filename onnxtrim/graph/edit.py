"""Small edits of a graph that several rooms make."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "in_memory",
    "initializers",
    "new_initializer",
    "replace_constant",
    "shape_of",
    "weight_bytes",
]


def new_initializer(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """Returns a new initializer of `graph` that holds `array`, under `name` or one made unique.

    The name is taken as free only if no input, initializer or node output bears it.
    """
    taken = {v.name for v in graph.inputs} | set(graph.initializers)
    taken |= {v.name for node in graph for v in node.outputs}
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    value = ir.Value(
        name=unique,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.Tensor(np.ascontiguousarray(array), name=unique),
    )
    graph.register_initializer(value)
    return value


def initializers(model: ir.Model) -> Iterator[ir.Value]:
    """Yields the initializers of the main graph and of every graph inside it."""
    for graph in model.graphs():
        yield from graph.initializers.values()


def in_memory(model: ir.Model) -> ir.Model:
    """Returns a clone whose external tensors are in memory, so that it needs no file beside it."""
    clone = model.clone()
    for value in initializers(clone):
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = ir.Tensor(value.const_value.numpy(), name=value.name)
    return clone


def weight_bytes(model: ir.Model) -> int:
    """Returns the bytes of all initializers; nothing is read."""
    return sum(v.const_value.nbytes for v in initializers(model) if v.const_value is not None)


def shape_of(tensor: ir.TensorProtocol) -> ir.Shape:
    """Returns the shape of a tensor, whose sizes are always known."""
    return ir.Shape(int(size) for size in tensor.shape.numpy())


def replace_constant(node: ir.Node, index: int, array: npt.NDArray[Any]) -> None:
    """Gives `node` a constant operand of its own; the old one stays for whoever shares it."""
    graph, old = node.graph, node.inputs[index]
    if not isinstance(graph, ir.Graph) or old is None:
        raise ValueError(f"{node.name} has no operand {index} in a graph")
    if len(old.uses()) == 1 and old.is_initializer():
        old.const_value = ir.Tensor(np.ascontiguousarray(array), name=old.name)
        return
    node.replace_input_with(index, new_initializer(graph, f"{old.name}_cut", array))
