"""The protobuf edge: parsing, inference and the checker of `onnx`.

The checker and the shape inference of `onnx` work on protobufs and need no weights, so both get a
*skeleton*: the same graph with every larger initializer turned into a graph input of its type.
A model of any size is then checked in the memory of its structure.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from onnxtrim.errors import LoadError, ModelError, ShapeError
from onnxtrim.graph.edit import shape_of

__all__ = ["check", "inferred_types", "parse", "parse_file", "pin_input_shapes", "skeleton"]

_SAME_AS_THE_OPERAND = frozenset({"GroupNormalization"})
"""Operators of which inference knows nothing; the result has the sizes of the operand."""

_SKELETON_BYTES = 1024
"""Initializers up to this size stay: shape inference reads Reshape targets and the like."""


def parse(data: bytes, where: str) -> onnx.ModelProto:
    """Returns the protobuf held in `data`; `where` names its origin in errors.

    Raises:
        LoadError: `data` is no protobuf of a model.
    """
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise LoadError(
            f"{where}: not an ONNX file, or a truncated one; export it again"
        ) from error
    return proto


def parse_file(path: Path) -> onnx.ModelProto:
    """Returns the protobuf in the file at `path`; external weights are not read.

    Raises:
        LoadError: the file cannot be read, or holds no ONNX model.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError as error:
        raise LoadError(f"{path}: is a folder; name the .onnx file in it") from error
    except FileNotFoundError as error:
        raise LoadError(f"{path}: no such file; check the path of the model") from error
    except OSError as error:
        raise LoadError(f"{path}: cannot be read ({error.strerror}); check it") from error
    return parse(data, str(path))


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """Returns `model` as a protobuf whose larger initializers are graph inputs without values.

    The small ones must not be inputs: inference believes only in constants that nobody can feed.
    """
    clone = model.clone()
    graph = clone.graph
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is not None:
            value.shape = shape_of(tensor)
            value.type = ir.TensorType(tensor.dtype)
        if tensor is None or tensor.nbytes > _SKELETON_BYTES:
            value.const_value = None
            graph.initializers.pop(str(value.name))
            if value not in graph.inputs:
                graph.inputs.append(value)
        elif isinstance(tensor, ir.ExternalTensor):  # a protobuf alone has no folder beside it
            value.const_value = ir.Tensor(tensor.numpy(), name=value.name)
    return ir.to_proto(clone)


def pin_input_shapes(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """Writes concrete `shapes` over the shapes of the graph inputs of that name, in place."""
    for value in proto.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape
            del dims.dim[:]
            for size in shapes[value.name]:
                dims.dim.add().dim_value = size


def inferred_types(proto: onnx.ModelProto) -> dict[str, ir.TypeAndShape]:
    """Returns type and shape of every tensor of the main graph that inference reaches.

    Writes into `proto`, which is of no use afterwards.

    Raises:
        ShapeError: the stored shapes contradict the graph.
    """
    for node in proto.graph.node:
        if node.domain == "" and node.op_type in _SAME_AS_THE_OPERAND:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    try:
        inferred = _inferred(proto, data_prop=True)
    except ShapeError:  # what it propagates through is not always what the operators do
        inferred = _inferred(proto, data_prop=False)
    graph = ir.from_proto(inferred).graph
    values = [*graph.inputs, *(v for node in graph for v in node.outputs)]
    return {
        v.name: ir.TypeAndShape(v.type, v.shape) for v in values if v.name and v.type is not None
    }


def _inferred(proto: onnx.ModelProto, *, data_prop: bool) -> onnx.ModelProto:
    """Returns `proto` with inferred shapes, following the values of shape arithmetic or not."""
    try:
        return onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=data_prop
        )
    except Exception as error:  # the C++ layer raises several unrelated types
        raise ShapeError(f"shape inference failed: {_first_line(error)}") from error


def check(model: ir.Model) -> None:
    """Runs the full checker of `onnx` on `model`.

    Raises:
        ModelError: the checker refuses the model.
    """
    try:
        onnx.checker.check_model(skeleton(model), full_check=True)
    except Exception as error:  # the C++ layer raises several unrelated types
        raise ModelError(f"the ONNX checker refuses the model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Returns the message of `error` as one line."""
    return " ".join(str(error).split())[:400]
