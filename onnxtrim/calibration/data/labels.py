"""What lies on disk: the files of a folder in order, their labels, the arrays in a file."""

import contextlib
import csv
import os
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from onnxtrim.errors import DataError

__all__ = [
    "UNNAMED",
    "ArrayForm",
    "FolderFile",
    "array_forms",
    "as_label",
    "checked_labels",
    "file_mark",
    "folder_files",
    "load_arrays",
    "shape_text",
    "spread",
]

UNNAMED = ""
"""What the one array of a .npy file is called, and one that is given bare."""

_LABELS_FILE = "labels.csv"


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file of a data folder: its name below the folder, where it is, and its label if known."""

    name: str
    path: Path
    label: int | None


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """What the header of a stored array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def folder_files(folder: Path, suffixes: Collection[str]) -> list[FolderFile]:
    """Returns the files in `folder` that end in one of `suffixes`, in the order of their names.

    Where the folder has a `labels.csv`, the files are those that it lists. Where every file lies
    in one of several sub-folders, the sub-folders are the classes. Otherwise, and for a single
    sub-folder, there are no labels. Hidden files and folders do not count.

    Args:
        folder: an existing folder.
        suffixes: endings in lower case, with the dot.

    Raises:
        DataError: the folder cannot be read, a line of `labels.csv` is wrong, or a class is empty.
    """
    table = folder / _LABELS_FILE
    if table.is_file():
        return _listed(table, suffixes)
    found = sorted(_walk(folder, suffixes))
    labels: dict[str, int] = {}
    folders = {parts[0] for parts in found}
    if len(folders) > 1 and all(len(parts) > 1 for parts in found):
        labels = _class_labels(folder, folders)
    return [FolderFile("/".join(p), folder.joinpath(*p), labels.get(p[0])) for p in found]


def as_label(text: str) -> int | None:
    """Returns the integer that `text` spells, or None where it is none that fits 64 bits."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None


def spread(total: int, samples: int | None) -> npt.NDArray[np.int64]:
    """Returns at most `samples` indices below `total`, evenly spread so that each class is seen."""
    if samples is None or samples >= total:
        return np.arange(total, dtype=np.int64)
    return np.linspace(0, total - 1, samples).round().astype(np.int64)


def checked_labels(where: str, labels: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Returns the labels as (count,) integers."""
    if labels.dtype.kind not in "iu" or labels.ndim > 1 or labels.size != count:
        raise DataError(
            f"{where}: labels are {labels.dtype} of shape {labels.shape}; "
            f"give one integer a sample, shape ({count},)"
        )
    return labels.astype(np.int64).reshape(count)


def array_forms(path: Path) -> dict[str, ArrayForm]:
    """Returns shape and element type of every array in a file; no values are read."""
    with _reading(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                forms = {UNNAMED: _form(file)}
        else:
            with zipfile.ZipFile(path) as archive:
                forms = {}
                for name in archive.namelist():
                    with archive.open(name) as member:
                        forms[name.removesuffix(".npy")] = _form(member)
    if any(form.dtype.hasobject for form in forms.values()):
        raise DataError(
            f"{path}: holds Python objects, which are never unpickled; save arrays of numbers"
        )
    return forms


def load_arrays(path: Path, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Returns arrays of a file: a .npy file memory mapped, those of an .npz file read."""
    with _reading(path):
        if path.suffix.lower() == ".npy":
            return {UNNAMED: np.lib.format.open_memmap(path, mode="r")}
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}


def file_mark(name: str, path: Path) -> bytes:
    """Returns what a fingerprint takes in of a file: its name and its size.

    Raises:
        DataError: the file is gone.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put it back") from error
    return os.fsencode(name) + f"\0{size}\0".encode()


def shape_text(shape: Sequence[int | None], *, batch: bool = True) -> str:
    """Returns a shape of the model for people: `(N, 3, ?, ?)`, N samples first, ? where open.

    Without a `batch`, the first size stands as it is.
    """
    sizes = ["?" if size is None else str(size) for size in shape]
    return f"({', '.join(['N', *sizes[1:]] if batch and sizes else sizes)})"


def _walk(folder: Path, suffixes: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yields the path below `folder`, in parts, of every file with one of `suffixes`."""

    def unreadable(error: OSError) -> None:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}); "
            "check that it is there and may be read"
        )

    seen: set[Path] = set()  # links are followed, so a folder may contain itself
    for here, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        parts = Path(here).relative_to(folder).parts
        for name in files:
            if not name.startswith(".") and _suffix(name) in suffixes:
                yield (*parts, name)


def _class_labels(folder: Path, used: set[str]) -> dict[str, int]:
    """Returns the label of every class folder: the integer that is its name, or its rank."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    numbers = {name: label for name in names if (label := as_label(name)) is not None}
    if len(numbers) == len(names):
        return numbers
    for name in names:
        if name not in used:  # whether it counts as a class would shift the labels of the others
            raise DataError(
                f"{folder / name}: is a class folder without a file to read; "
                "remove it, or fill it so that it counts as a class"
            )
    return {name: rank for rank, name in enumerate(names)}


def _listed(table: Path, suffixes: Collection[str]) -> list[FolderFile]:
    """Returns the files that a `labels.csv` lists, in the order of their names."""
    lines: dict[str, int] = {}
    listed: list[FolderFile] = []
    for position, (line, row) in enumerate(_rows(table)):
        where = f"{table}, line {line}"
        name, label = row[0], as_label(row[1]) if len(row) == 2 else None
        if label is None and position == 0 and len(row) == 2 and _suffix(name) not in suffixes:
            continue  # the header
        if label is None or not name:
            raise DataError(
                f"{where}: {','.join(row)!r} is no file and integer label; write it as file,label"
            )
        if name in lines:
            raise DataError(
                f"{where}: {name} is listed on line {lines[name]} already; remove one of the two"
            )
        path = table.parent / name
        if not path.is_file():
            raise DataError(f"{where}: {path} is missing; add the file, or remove the line")
        lines[name] = line
        listed.append(FolderFile(name, path, label))
    if not listed:
        raise DataError(f"{table}: lists no file; write one file,label a line, or remove it")
    return sorted(listed, key=lambda file: Path(file.name).parts)


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the fields of every line of a csv file that is not blank."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                fields = [field.strip() for field in row]
                if any(fields):
                    yield reader.line_num, fields
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{table}: cannot be read ({reason}); save it as UTF-8 text") from error


def _suffix(name: str) -> str:
    """Returns the ending of a file name in lower case, with the dot."""
    return Path(name).suffix.lower()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever malformed content raises into a DataError that names the file."""
    try:
        yield
    except Exception as error:  # malformed content surfaces as many types
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        kind = path.suffix.lower()
        raise DataError(
            f"{path}: cannot be read as {kind} ({reason}); "
            f"save it again with {'np.save' if kind == '.npy' else 'np.savez'}"
        ) from error


def _form(file: IO[bytes]) -> ArrayForm:
    """Returns what the header says of the stored array that follows in `file`."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return ArrayForm(shape, dtype)
