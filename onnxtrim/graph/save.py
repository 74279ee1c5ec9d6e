"""`ir.Model` -> file, whole or not at all.

Everything is written into a temporary folder beside the target and moved in place afterwards:
the weights file first, then the model that names it.
"""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx_ir as ir

from onnxtrim.errors import OutputError
from onnxtrim.graph.edit import in_memory, initializers, weight_bytes
from onnxtrim.graph.proto import skeleton

__all__ = [
    "atomic_write",
    "check_writable",
    "compressed_bytes",
    "refuse_overwriting",
    "save",
    "save_apart",
    "saved_bytes",
]

EXTERNAL_BYTES = 512 * 2**20
"""Weights above this lie beside the model: a protobuf holds at most 2 GB, and parses in full."""

_GZIP = 31
"""The window of zlib that makes it write the format of gzip."""

LATE_BYTES = 64 * 2**20
"""So do weights that are read only now, from a file beside the original: they pass one by one."""


def save(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Returns the path written: `model` at `path`, its weights beside it where they are large.

    Raises:
        OutputError: the folder is missing, is no folder, or cannot be written to.
    """
    target = Path(path)
    external = f"{target.name}.data" if _beside(model) else None
    with _staging(target) as folder:
        ir.save(
            in_memory(model) if external is None else model,
            folder / target.name,
            format="protobuf",
            external_data=external,
        )
        if external is not None:
            os.replace(folder / external, target.with_name(external))
        os.replace(folder / target.name, target)
    return target


def save_apart(model: ir.Model, path: str | os.PathLike[str], sources: Iterable[Path]) -> Path:
    """Returns the path written, as `save` does, where none of the files is one of `sources`.

    Raises:
        OutputError: one would be, or the path cannot be written.
    """
    refuse_overwriting((Path(path), Path(f"{path}.data")), sources)
    return save(model, path)


def saved_bytes(model: ir.Model) -> int:
    """Returns how many bytes `save` writes; weights beside the model and structure apart."""
    if _beside(model):
        return int(skeleton(model).ByteSize()) + weight_bytes(model)
    return int(ir.to_proto(in_memory(model)).ByteSize())


def compressed_bytes(model: ir.Model, level: int = 6) -> int:
    """Returns how many bytes gzip makes of what `save` writes; tensors pass one by one."""
    packer = zlib.compressobj(level, wbits=_GZIP)
    if not _beside(model):
        return len(packer.compress(ir.to_proto(in_memory(model)).SerializeToString())) + len(
            packer.flush()
        )
    size = len(packer.compress(skeleton(model).SerializeToString()))
    for value in initializers(model):
        if value.const_value is not None:
            size += len(packer.compress(value.const_value.tobytes()))
    return size + len(packer.flush())


def _beside(model: ir.Model) -> bool:
    """Returns whether the weights of `model` are to lie beside it."""
    tensors = [value.const_value for value in initializers(model)]
    late = sum(t.nbytes for t in tensors if isinstance(t, ir.ExternalTensor | ir.LazyTensor))
    return weight_bytes(model) > EXTERNAL_BYTES or late > LATE_BYTES


def atomic_write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Returns the path written: bytes, or text as UTF-8, whole or not at all.

    Raises:
        OutputError: the folder is missing, is no folder, or cannot be written to.
    """
    target = Path(path)
    with _staging(target) as folder:
        data = content.encode() if isinstance(content, str) else content
        (folder / target.name).write_bytes(data)
        os.replace(folder / target.name, target)
    return target


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as a `Path` after a trial: long work must not end at a read-only folder.

    Raises:
        OutputError: `path` cannot be written.
    """
    target = Path(path)
    with _staging(target) as folder:
        (folder / target.name).touch()
    return target


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises where an output would take the place of an input.

    Raises:
        OutputError: it would.
    """
    kept = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in kept:
            raise OutputError(f"{output}: is an input of this run; give the output another name")


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yields a temporary folder on the file system of `target`; it is gone afterwards."""
    try:
        if target.is_dir():
            raise OutputError(f"{target}: is a folder; give the output a file name")
        if not target.parent.is_dir():
            raise OutputError(f"{target}: the folder {target.parent} does not exist; make it first")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".onnxtrim-") as folder:
            yield Path(folder)
    except Exception as error:  # the graph library wraps what the system says in errors of its own
        cause: BaseException = error
        while not isinstance(cause, OSError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if not isinstance(cause, OSError):
            raise
        reason = cause.strerror or cause
        raise OutputError(f"{target}: cannot be written ({reason}); choose another") from error
