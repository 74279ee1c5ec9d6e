"""`ir.Model` -> file, whole or not at all.

Everything is written into a temporary folder beside the target and moved in place afterwards:
the weights file first, then the model that names it.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from onnxtrim.errors import OutputError

__all__ = ["atomic_write", "check_writable", "save"]

EXTERNAL_BYTES = 512 * 2**20
"""Weights above this lie beside the model: a protobuf holds at most 2 GB, and parses in full."""


def save(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Returns the path written: `model` at `path`, its weights beside it where they are large.

    Raises:
        OutputError: the folder is missing, is no folder, or cannot be written to.
    """
    target = Path(path)
    weights = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    external = f"{target.name}.data" if weights > EXTERNAL_BYTES else None
    with _staging(target) as folder:
        ir.save(
            _without_external(model) if external is None else model,
            folder / target.name,
            external_data=external,
        )
        if external is not None:
            os.replace(folder / external, target.with_name(external))
        os.replace(folder / target.name, target)
    return target


def atomic_write(path: str | os.PathLike[str], text: str) -> Path:
    """Returns the path written: `text` as UTF-8, whole or not at all.

    Raises:
        OutputError: the folder is missing, is no folder, or cannot be written to.
    """
    target = Path(path)
    with _staging(target) as folder:
        (folder / target.name).write_text(text, encoding="utf-8")
        os.replace(folder / target.name, target)
    return target


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as a `Path` after a trial: long work must not end at a read-only folder.

    Raises:
        OutputError: `path` cannot be written.
    """
    target = Path(path)
    with _staging(target):
        return target


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yields a temporary folder on the file system of `target`; it is gone afterwards."""
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; give the output a file name")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the folder {target.parent} does not exist; make it first")
    try:
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


def _without_external(model: ir.Model) -> ir.Model:
    """Returns a clone whose external tensors are in memory, so that the file stands alone."""
    clone = model.clone()
    for value in clone.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = ir.Tensor(value.const_value.numpy(), name=value.name)
    return clone
