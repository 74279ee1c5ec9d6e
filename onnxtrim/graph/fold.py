"""Shape arithmetic on constants, folded by ONNX Runtime itself, so that it cannot differ.

Only integer and boolean results of modest size are folded: weights that are transposed or
dequantised in the graph keep their nodes (and their size in the file).
"""

from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.constants import bodies
from onnxtrim.graph.edit import new_initializer
from onnxtrim.graph.runtime import Runner

__all__ = ["constant_array", "fold_constants"]

_LARGEST = 4096
_INTEGRAL = frozenset(
    {
        ir.DataType.BOOL,
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.UINT8,
        ir.DataType.INT8,
    }
)
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def fold_constants(model: ir.Model) -> ir.Model:
    """Returns a clone in which integer results of constants are initializers.

    `model` must have its shapes inferred. The nodes that computed them stay behind unused.
    """
    model = model.clone()
    graph = model.graph
    foldable = _foldable_nodes(graph)
    frontier = [
        value
        for node in foldable
        for value in node.outputs
        if isinstance(value.type, ir.TensorType)
        and value.dtype in _INTEGRAL
        and any(user not in foldable for user, _ in value.uses())
        and not value.is_graph_output()
    ]
    if not frontier:
        return model
    results = Runner(_constant_graph(model, foldable, frontier), optimize=False)({})
    for value in frontier:
        array = results[value.name or ""]
        if array.size > _LARGEST:
            continue
        value.replace_all_uses_with(new_initializer(graph, f"{value.name}.folded", array))
    return model


def constant_array(model: ir.Model, name: str) -> npt.NDArray[Any]:
    """Returns the array behind a tensor that is an initializer or computed from initializers.

    Raises:
        ValueError: there is no such tensor.
    """
    value = model.graph.initializers.get(name)
    if value is not None and value.const_value is not None:
        return value.const_value.numpy()
    for node in model.graph:
        for output in node.outputs:
            if output.name == name:
                nodes = _ancestors(model.graph, output)
                return Runner(_constant_graph(model, nodes, [output]), optimize=False)({})[name]
    raise ValueError(f"the model has no tensor {name!r}")


def _ancestors(graph: ir.Graph, value: ir.Value) -> dict[ir.Node, None]:
    """Returns, in the order of the graph, the nodes that `value` is computed by."""
    needed = {value}
    for node in reversed(graph):
        if needed.intersection(node.outputs):
            needed.update(v for v in node.inputs if v is not None)
    return {node: None for node in graph if needed.intersection(node.outputs)}


def _foldable_nodes(graph: ir.Graph) -> dict[ir.Node, None]:
    """Returns, in order, the nodes that depend on small constants only.

    A `Shape` of a tensor whose sizes are all known is such a node too, but it needs the tensor;
    shape inference with data propagation and `normalize` step 5 see to those.
    """
    known: set[ir.Value] = {
        v
        for v in graph.initializers.values()
        if v.const_value is not None and v.const_value.size <= _LARGEST
    }
    foldable: dict[ir.Node, None] = {}
    for node in graph:
        inputs = [v for v in node.inputs if v is not None]
        plain = node.domain == "" and node.op_type not in _RANDOM
        graphs = any(True for _ in bodies(node))
        if plain and not graphs and inputs and all(v in known for v in inputs):
            foldable[node] = None
            known.update(node.outputs)
    return foldable


def _constant_graph(
    model: ir.Model, nodes: dict[ir.Node, None], outputs: list[ir.Value]
) -> ir.Model:
    """Returns a model without inputs that computes `outputs` from the constants."""
    view = ir.GraphView(
        inputs=[],
        outputs=outputs,
        nodes=list(nodes),
        initializers=[
            v
            for v in model.graph.initializers.values()
            if any(user in nodes for user, _ in v.uses())
        ],
        opset_imports=model.graph.opset_imports,
        name="constants",
    )
    return ir.Model(view.clone(), ir_version=model.ir_version)
