"""`ir.Model` -> one protobuf in pieces, so that weights on disk are never in memory together.

A field of a protobuf is a tag, its length and its bytes, and fields may come in any order. So the
structure is serialised without the initializers, and these follow one by one, each with its data
behind all else that it says. Only their sizes must be known beforehand.
"""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxtrim.graph.edit import initializers, shape_of

__all__ = ["pieces"]

_Late = ir.ExternalTensor | ir.LazyTensor
"""What is on disk, or computed when it is read."""

_LENGTH_DELIMITED = 2
_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_RAW_DATA = onnx.TensorProto.RAW_DATA_FIELD_NUMBER


def pieces(model: ir.Model) -> Iterator[bytes | _Late]:
    """Yields `model` as one protobuf that needs no file beside it: bytes, and tensors for theirs.

    Tensors of the main graph that lie on disk, or are computed when they are read, come as they
    are; everything else comes as bytes.
    """
    clone, late = _without_data(model)
    proto = ir.to_proto(clone)
    heads = []
    for tensor in proto.graph.initializer:
        data = late.get(tensor.name)
        if data is not None:
            tensor.ClearField("data_location")
            del tensor.external_data[:]
        head = tensor.SerializeToString()
        heads.append((head if data is None else head + _field(_RAW_DATA, data.nbytes), data))
    del proto.graph.initializer[:]
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    sizes = [len(head) + (0 if data is None else data.nbytes) for head, data in heads]
    frames = [_field(_INITIALIZER, size) for size in sizes]
    yield proto.SerializeToString()
    yield _field(_GRAPH, len(graph) + sum(map(len, frames)) + sum(sizes)) + graph
    for frame, (head, data) in zip(frames, heads, strict=True):
        yield frame + head
        if data is not None:
            yield data


def _without_data(model: ir.Model) -> tuple[ir.Model, dict[str, _Late]]:
    """Returns a clone without the tensors that are not in memory, and these by name."""
    clone = model.clone()
    late: dict[str, _Late] = {}
    for value in initializers(clone):
        tensor, name = value.const_value, str(value.name)
        if not isinstance(tensor, _Late):
            continue
        if value.graph is clone.graph:
            late[name] = tensor
            value.const_value = ir.ExternalTensor(
                "",
                None,
                None,
                tensor.dtype,
                shape=shape_of(tensor),
                name=name,
                doc_string=tensor.doc_string,
                metadata_props=dict(tensor.metadata_props),
            )
        else:
            value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
    return clone, late


def _field(number: int, length: int) -> bytes:
    """Returns what stands before the bytes of a field: its tag and their number, as varints."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Returns a number in groups of seven bits, the lowest first; all but the last are marked."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
