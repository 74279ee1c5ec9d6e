"""Whether a protobuf is a graph at all: what loading would otherwise trip over much later.

The checker of `onnx` is stricter than the runtimes that people's models run on, so only what no
runtime could make sense of is refused here.
"""

import math

import onnx
import onnx_ir as ir

from onnxtrim.errors import LoadError

__all__ = ["validate"]


def validate(proto: onnx.ModelProto, where: str) -> None:
    """Raises where `proto`, which came from `where`, is no graph that holds together.

    Raises:
        LoadError: it has no outputs, uses or lists a tensor that nothing makes before, makes one
            twice, holds sparse weights, or weights whose bytes do not fit their sizes.
    """
    graph = proto.graph
    if not proto.HasField("graph") or not graph.output:
        raise LoadError(f"{where}: not an ONNX file (it holds no graph with outputs)")
    if graph.sparse_initializer or any(_holds_sparse(node) for node in graph.node):
        raise LoadError(f"{where}: holds sparse weights, which are not read; store them densely")
    for tensor in graph.initializer:
        _check_bytes(tensor, where)
    known = {"", *(v.name for v in graph.input), *(t.name for t in graph.initializer)}
    later = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name not in known:
                how = "before it is made; sort the nodes" if name in later else "that nothing makes"
                raise LoadError(f"{where}: node {_label(node)!r} uses tensor {name!r} {how}")
        for name in node.output:
            if name and name in known:
                raise LoadError(f"{where}: tensor {name!r} is made twice; export the model again")
            known.add(name)
    for output in graph.output:
        if output.name not in known:
            raise LoadError(f"{where}: nothing makes the output {output.name!r} of the graph")


def _label(node: onnx.NodeProto) -> str:
    """Returns the name of a node, or its operator where it has none."""
    return node.name or node.op_type


def _holds_sparse(node: onnx.NodeProto) -> bool:
    """Returns whether an attribute of a node is a sparse tensor."""
    return any(attribute.HasField("sparse_tensor") for attribute in node.attribute)


def _check_bytes(tensor: onnx.TensorProto, where: str) -> None:
    """Raises LoadError for a weight of an unknown type, or with too few or too many bytes."""
    try:
        kind = ir.DataType(tensor.data_type)
    except ValueError as error:
        raise LoadError(
            f"{where}: not a valid ONNX model (weight {tensor.name!r} has the unknown type "
            f"{tensor.data_type})"
        ) from error
    if not tensor.HasField("raw_data") or kind == ir.DataType.STRING:
        return
    expected = -(-math.prod(tensor.dims) * kind.bitwidth // 8)
    if len(tensor.raw_data) != expected:
        raise LoadError(
            f"{where}: weight {tensor.name!r} has {len(tensor.raw_data)} bytes instead of "
            f"{expected}; the file is damaged, copy or export it again"
        )
