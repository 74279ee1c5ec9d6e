"""Whether a protobuf is a graph at all: what loading would otherwise trip over much later.

The checker of `onnx` is stricter than the runtimes that people's models run on, so only what no
runtime could make sense of is refused here.
"""

import math
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxtrim.errors import LoadError

__all__ = ["validate"]

_COMPLEX = (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)
_BYTE_BITS = 8


def validate(proto: onnx.ModelProto, where: str) -> None:
    """Raises where `proto`, which came from `where`, is no graph that holds together.

    Raises:
        LoadError: it has no outputs, uses or lists a tensor that nothing makes before, makes one
            twice, holds sparse weights, or weights whose data do not fit their sizes.
    """
    if not proto.HasField("graph") or not proto.graph.output:
        raise LoadError(f"{where}: not an ONNX file (it holds no graph with outputs)")
    _check_graph(proto.graph, frozenset(), where)


def _check_graph(graph: onnx.GraphProto, outer: frozenset[str], where: str) -> None:
    """Raises LoadError where `graph`, which sees the tensors `outer`, does not hold together."""
    if graph.sparse_initializer:
        raise LoadError(f"{where}: holds sparse weights, which are not read; store them densely")
    for tensor in graph.initializer:
        _check_tensor(tensor, f"{where}: weight {tensor.name!r}")
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    later = {name for node in graph.node for name in node.output}
    for node in graph.node:
        _check_inputs(node, own | outer, later, where)
        for tensor in _tensors(node, where):
            _check_tensor(tensor, f"{where}: the tensor in node {_label(node)!r}")
        for body in _bodies(node):
            _check_graph(body, frozenset(own | outer), where)
        for name in filter(None, node.output):
            if name in own:
                raise LoadError(f"{where}: tensor {name!r} is made twice; export the model again")
            own.add(name)
    for output in graph.output:
        if output.name not in own:
            raise LoadError(f"{where}: nothing makes the output {output.name!r} of the graph")


def _check_inputs(node: onnx.NodeProto, known: set[str], later: set[str], where: str) -> None:
    """Raises LoadError where a node uses a tensor that nothing made before it."""
    for name in filter(None, node.input):
        if name not in known:
            how = "before it is made; sort the nodes" if name in later else "that nothing makes"
            raise LoadError(f"{where}: node {_label(node)!r} uses tensor {name!r} {how}")


def _label(node: onnx.NodeProto) -> str:
    """Returns the name of a node, or its operator where it has none."""
    return node.name or node.op_type


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yields the graphs in the attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(node: onnx.NodeProto, where: str) -> Iterator[onnx.TensorProto]:
    """Yields the tensors in the attributes of a node.

    Raises:
        LoadError: one is sparse, or a constant holds nothing.
    """
    if node.op_type == "Constant" and not node.attribute:
        raise LoadError(f"{where}: constant {_label(node)!r} holds nothing; export the model again")
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor"):
            raise LoadError(
                f"{where}: holds sparse weights, which are not read; store them densely"
            )
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def _check_tensor(tensor: onnx.TensorProto, what: str) -> None:
    """Raises LoadError for a tensor of an unknown type, or with too few or too many data."""
    try:
        kind = ir.DataType(tensor.data_type)
    except ValueError:
        kind = ir.DataType.UNDEFINED
    if kind == ir.DataType.UNDEFINED:
        raise LoadError(
            f"{what} has the unknown type {tensor.data_type}: not a valid ONNX model "
            "(or one of a newer version of ONNX)"
        )
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    size = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        found, expected, unit = len(tensor.raw_data), -(-size * _bits(kind) // _BYTE_BITS), "bytes"
    else:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
        found = sum(map(len, (*fields, tensor.uint64_data, tensor.string_data)))
        expected, unit = size * (2 if kind in _COMPLEX else 1), "elements"
        if _bits(kind) < _BYTE_BITS:  # several share an element of int32_data
            return
    if found != expected:
        raise LoadError(
            f"{what} has {found} {unit} instead of {expected}; the file is damaged, copy or "
            "export it again"
        )


def _bits(kind: ir.DataType) -> int:
    """Returns the bits of an element; those of a text count as bytes that nobody compares."""
    return _BYTE_BITS if kind == ir.DataType.STRING else kind.bitwidth
