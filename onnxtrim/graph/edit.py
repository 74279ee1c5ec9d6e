"""Small edits of a graph that several rooms make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

__all__ = [
    "appended",
    "extracted",
    "free_name",
    "in_memory",
    "initializers",
    "new_initializer",
    "override_elements",
    "replace_constant",
    "set_constant",
    "shape_of",
    "substitute",
    "weight_bytes",
    "with_outputs",
]

_OLDEST_OPSET_WITH_WHERE = 9


def free_name(graph: ir.Graph, name: str) -> str:
    """Returns `name`, or one like it that no tensor of `graph` or of a graph inside it bears."""
    taken: set[str | None] = set()
    for inside in (graph, *graph.subgraphs()):
        taken.update(v.name for v in inside.inputs)
        taken.update(inside.initializers)
        taken.update(v.name for node in inside for v in node.outputs)
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def appended(
    graph: ir.Graph,
    op_type: str,
    *inputs: ir.Value,
    prefix: str,
    **attributes: int | Sequence[int],
) -> ir.Value:
    """Returns the output of a new standard node at the end of `graph`: PREFIX.OPERATOR, or so."""
    listed = [
        ir.AttrInt64(name, value) if isinstance(value, int) else ir.AttrInt64s(name, value)
        for name, value in attributes.items()
    ]
    output = ir.Value(name=free_name(graph, f"{prefix}.{op_type.lower()}"))
    graph.append(ir.Node("", op_type, inputs, listed, outputs=[output]))
    return output


def new_initializer(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """Returns a new initializer of `graph` that holds `array`, under `name` or one made unique."""
    unique = free_name(graph, name)
    value = ir.Value(
        name=unique,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.Tensor(np.asarray(array, order="C"), name=unique),
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


def extracted(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """Returns what of a clone of `model` computes some tensors, which are its only outputs."""
    clone = model.clone()
    tensors = {value.name: value for node in clone.graph for value in node.outputs}
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(tensors[name] for name in names)
    RemoveUnusedNodesPass()(clone)
    return clone


def with_outputs(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """Returns a clone of `model` in which some tensors are outputs too."""
    clone = model.clone()
    graph = clone.graph
    tensors = {value.name: value for node in graph for value in node.outputs}
    outputs = dict.fromkeys([*graph.outputs, *(tensors[name] for name in names)])
    graph.outputs.clear()
    graph.outputs.extend(outputs)
    return clone


def shape_of(tensor: ir.TensorProtocol) -> ir.Shape:
    """Returns the shape of a tensor, whose sizes are always known."""
    return ir.Shape(int(size) for size in tensor.shape.numpy())


def replace_constant(node: ir.Node, index: int, array: npt.NDArray[Any]) -> None:
    """Gives `node` a constant of its own and of the same type; who shares the old one keeps it."""
    graph, old = node.graph, node.inputs[index]
    if not isinstance(graph, ir.Graph) or old is None:
        raise ValueError(f"{node.name} has no operand {index} in a graph")
    if old.dtype is not None:
        array = array.astype(old.dtype.numpy())
    if len(old.uses()) == 1 and old.is_initializer():
        old.const_value = ir.Tensor(np.asarray(array, order="C"), name=old.name)
        old.shape = ir.Shape(array.shape)
        return
    node.replace_input_with(index, new_initializer(graph, f"{old.name}_cut", array))


def override_elements(node: ir.Node, index: int, elements: Mapping[int, int], length: int) -> None:
    """Puts figures of its own into some places of a vector that the graph computes for `node`.

    `elements` are the figures by place in the vector of `length`; a `Where` chooses between them
    and what was computed, or, in operator sets that have none, a product with 0 and 1 and a sum.
    Other readers of the vector are not affected.
    """
    graph, old = node.graph, node.inputs[index]
    if not isinstance(graph, ir.Graph) or old is None:
        raise ValueError(f"{node.name} has no operand {index} in a graph")
    places = np.array([place in elements for place in range(length)])
    figures = np.array([elements.get(place, 0) for place in range(length)], dtype=np.int64)
    known = new_initializer(graph, f"{old.name}_known", places)
    sizes = new_initializer(graph, f"{old.name}_cut", figures)
    chosen = ir.Node("", "Where", [known, sizes, old])
    if graph.opset_imports.get("", 1) < _OLDEST_OPSET_WITH_WHERE:
        known.const_value = ir.Tensor((~places).astype(np.int64), name=known.name)
        known.dtype = ir.DataType.INT64
        left = ir.Node("", "Mul", [old, known])
        left.outputs[0].name = free_name(graph, f"{sizes.name}.left")
        left.outputs[0].type = old.type
        left.outputs[0].shape = ir.Shape([length])
        graph.insert_before(node, left)
        chosen = ir.Node("", "Add", [left.outputs[0], sizes])
    chosen.outputs[0].name = free_name(graph, f"{sizes.name}.chosen")
    chosen.outputs[0].type = old.type
    chosen.outputs[0].shape = ir.Shape([length])
    graph.insert_before(node, chosen)
    node.replace_input_with(index, chosen.outputs[0])


def set_constant(node: ir.Node, index: int, name: str, array: npt.NDArray[Any]) -> None:
    """Gives `node` a constant as operand `index`, whether it had one there or not."""
    if index < len(node.inputs) and node.inputs[index] is not None:
        replace_constant(node, index, array)
    elif isinstance(node.graph, ir.Graph):
        node.resize_inputs(max(len(node.inputs), index + 1))
        node.replace_input_with(index, new_initializer(node.graph, name, array))


def substitute(
    node: ir.Node, op_type: str, inputs: Sequence[ir.Value], attributes: Sequence[ir.Attr] = ()
) -> None:
    """Puts a standard operator in the place of `node`; names, notes and sizes stay."""
    graph, old = node.graph, node.outputs[0]
    if not isinstance(graph, ir.Graph):
        raise ValueError(f"{node.name} is in no graph")
    result = ir.Value(name=old.name, type=old.type, shape=old.shape, doc_string=old.doc_string)
    result.metadata_props.update(old.metadata_props)
    result.meta.update(old.meta)
    new = ir.Node("", op_type, inputs, attributes, outputs=[result], name=node.name)
    new.doc_string = node.doc_string
    new.metadata_props.update(node.metadata_props)
    graph.insert_before(node, new)
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
