"""Anything that holds a model -> `ir.Model`. Weights that lie outside the file stay there."""

import hashlib
import os
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxtrim.errors import LoadError
from onnxtrim.graph import proto as edge
from onnxtrim.graph.edit import initializers
from onnxtrim.graph.surgeon import SurgeonGraph, from_graphsurgeon
from onnxtrim.graph.validate import validate

__all__ = ["ModelSource", "load", "model_digest"]

ModelSource = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model | SurgeonGraph
"""A path, the bytes of a file, a protobuf, an `ir.Model`, or a graph of onnx-graphsurgeon."""


def load(source: ModelSource) -> ir.Model:
    """Returns the model in `source`; the source itself is never changed.

    An `ir.Model` comes back as a clone that shares the weights.

    Raises:
        LoadError: the file is missing, unreadable, truncated, or no ONNX model; or its external
            weights are not where it says.
    """
    if isinstance(source, ir.Model):
        return source.clone()
    if isinstance(source, onnx.ModelProto):
        return _deserialize(source, "model", Path())
    if isinstance(source, SurgeonGraph):
        return _deserialize(from_graphsurgeon(source), "graph", Path())
    if isinstance(source, bytes):
        return _deserialize(edge.parse(source, "model bytes"), "model bytes", Path())
    path = Path(source)
    return _deserialize(edge.parse_file(path), str(path), path.parent)


def model_digest(source: ModelSource) -> str:
    """Returns the SHA-256 of the model file (of the serialised model where there is no file)."""
    if isinstance(source, ir.Model):
        return model_digest(ir.to_proto(source))
    if isinstance(source, onnx.ModelProto):
        return model_digest(source.SerializeToString(deterministic=True))
    if isinstance(source, SurgeonGraph):
        return model_digest(from_graphsurgeon(source))
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _deserialize(proto: onnx.ModelProto, where: str, folder: Path) -> ir.Model:
    """Returns `proto` as `ir.Model`, with external tensors looked for in `folder`."""
    validate(proto, where)
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # malformed content surfaces as many types
        reason = " ".join(str(error).split())[:300]
        raise LoadError(f"{where}: not a valid ONNX model ({reason})") from error
    for graph in model.graphs():
        ir.external_data.set_base_dir(graph, folder)
    for value in initializers(model):
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(tensor, where)
    return model


def _check_external(tensor: ir.ExternalTensor, where: str) -> None:
    """Raises LoadError where the data of an external tensor is missing or too short."""
    path = Path(tensor.path)
    needed = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
    if not path.is_file():
        raise LoadError(f"{where}: its weights file {path} is missing; put it beside the model")
    if path.stat().st_size < needed:
        raise LoadError(f"{where}: its weights file {path} is truncated; copy it again")
