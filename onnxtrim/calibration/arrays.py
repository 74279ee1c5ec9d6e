"""Arrays as calibration data: in memory, in a .npy or .npz file, or in a folder of such files.

Nothing is ever unpickled. A .npy file is memory mapped, an .npz given by itself is read once; the
files of a folder are opened anew on every pass, so that a folder need not fit in memory.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.dataset import Batch, InputSpec
from onnxtrim.calibration.labels import (
    UNNAMED,
    ArrayForm,
    FolderFile,
    array_forms,
    checked_labels,
    file_mark,
    folder_files,
    load_arrays,
    shape_text,
    spread,
)
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError
from onnxtrim.graph.runtime import Arrays

__all__ = ["ARRAY_SUFFIXES", "ArrayData", "ArraySource"]

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})

ArraySource = (
    str
    | os.PathLike[str]
    | npt.NDArray[Any]
    | Mapping[str, npt.NDArray[Any]]
    | tuple[npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]], npt.ArrayLike]
)
"""A .npy or .npz file or a folder of them, one array, arrays by input name, or (inputs, labels)."""

_LABELS = ("labels", "y")
_ROWS_A_DIGEST = 1024


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples that lie together, in one file or in memory.

    Attributes:
        where: What messages call it.
        file: The file, or None in memory.
        load: Returns the arrays of these names in the part.
        names: The name in the part, by input of the model.
        count: Number of samples.
        labels: (count,) labels, if known.
    """

    where: str
    file: FolderFile | None
    load: Callable[[Collection[str]], Mapping[str, npt.NDArray[Any]]]
    names: Mapping[str, str]
    count: int
    labels: npt.NDArray[np.int64] | None


class ArrayData:
    """Samples that are arrays already.

    A file, or arrays in memory, have the samples on the first axis. In a folder, a file is one
    sample where it has one axis less than the input, and a batch of samples where it has as many;
    labels are in the files, in `labels.csv`, or class sub-folders (see `labels.folder_files`).

    Args:
        source: the data.
        specs: the inputs of the model.
        config: how many samples are read.

    Raises:
        DataError: the data cannot be read, or does not fit the model.
    """

    def __init__(self, source: ArraySource, specs: Sequence[InputSpec], config: DataConfig) -> None:
        """Checks names, shapes and element types against the headers; no value is read."""
        for spec in specs:
            if not spec.shape:
                raise DataError(
                    f"input {spec.name!r} of the model has no batch axis, so it takes no samples; "
                    "make it a constant of the model"
                )
        self._specs = tuple(specs)
        parts = _parts(source, self._specs)
        ends = np.cumsum([part.count for part in parts])
        picked = spread(int(ends[-1]), config.samples)
        rows = np.split(picked, np.searchsorted(picked, ends[:-1]))
        starts = ends - [part.count for part in parts]
        self._parts = [
            (part, mine - start)
            for part, mine, start in zip(parts, rows, starts, strict=True)
            if mine.size
        ]
        self._count = picked.size

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label."""
        return all(part.labels is not None for part, _ in self._parts)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the files (in memory: the arrays), rows and labels."""
        digest = hashlib.sha256()
        for part, rows in self._parts:
            if part.file is not None:
                digest.update(file_mark(part.file.name, part.file.path))
            else:
                _digest_arrays(digest.update, part, rows)
            digest.update(rows.tobytes())
            digest.update(b"" if part.labels is None else part.labels[rows].tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self._count

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all samples in order, `size` at a time; the last batch may be smaller.

        Raises:
            DataError: a file cannot be read any more, or a value does not fit its input.
            UsageError: `size` is not positive.
        """
        if size < 1:
            raise UsageError(f"batch size {size}: at least 1 is needed")
        pieces: list[Batch] = []
        room = size
        for part, rows in self._parts:
            stored = part.load(part.names.values())
            start = 0
            while start < rows.size:
                piece = _piece(part, stored, self._specs, rows[start : start + room])
                pieces.append(piece)
                start += piece.count
                room -= piece.count
                if not room:
                    yield _joined(pieces)
                    pieces, room = [], size
        if pieces:
            yield _joined(pieces)


def _piece(
    part: _Part,
    stored: Mapping[str, npt.NDArray[Any]],
    specs: Sequence[InputSpec],
    rows: npt.NDArray[np.int64],
) -> Batch:
    """Returns the samples `rows` of a part."""
    inputs: Arrays = {}
    for spec in specs:
        array = stored[part.names[spec.name]]
        if array.ndim < len(spec.shape):  # one sample without the batch axis
            array = array[np.newaxis]
        inputs[spec.name] = _converted(part.where, spec, array, rows)
    return Batch(inputs, None if part.labels is None else part.labels[rows], rows.size)


def _joined(pieces: Sequence[Batch]) -> Batch:
    """Returns several pieces as one batch."""
    if len(pieces) == 1:
        return pieces[0]
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Batch(
        {name: np.concatenate([p.inputs[name] for p in pieces]) for name in pieces[0].inputs},
        np.concatenate(labels) if labels else None,
        sum(piece.count for piece in pieces),
    )


def _converted(
    where: str, spec: InputSpec, array: npt.NDArray[Any], rows: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Returns the samples `rows` of `array` in the element type of the input.

    Raises:
        DataError: a value is not finite, or does not fit that type.
    """
    raw = np.asarray(array[rows])
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the sample
        values: npt.NDArray[Any] = np.ascontiguousarray(raw, dtype=spec.dtype)
    wrong = np.zeros(raw.shape, dtype=bool)
    what = f"NaN or infinity (as {spec.dtype})"
    if spec.dtype.kind in "fV":
        wrong = ~np.isfinite(values)
    elif spec.dtype.kind in "iu" and not np.can_cast(raw.dtype, spec.dtype):
        limits = np.iinfo(spec.dtype)
        wrong = (raw < limits.min) | (raw > limits.max)
        what = f"a value that {spec.dtype} cannot hold"
    if wrong.any():
        sample = int(rows[wrong.reshape(rows.size, -1).any(axis=1).argmax()])
        raise DataError(
            f"{where}: sample {sample} of input {spec.name!r} has {what}; "
            "correct the sample or remove it"
        )
    return values


def _digest_arrays(
    update: Callable[[bytes], None], part: _Part, rows: npt.NDArray[np.int64]
) -> None:
    """Feeds the samples `rows` of a part to a digest."""
    stored = part.load(part.names.values())
    for name, own in part.names.items():
        array = stored[own]
        update(f"{name}\0{array.dtype}\0{array.shape[1:]}\0".encode())
        for start in range(0, rows.size, _ROWS_A_DIGEST):
            update(array[rows[start : start + _ROWS_A_DIGEST]].tobytes())


def _parts(source: ArraySource, specs: Sequence[InputSpec]) -> list[_Part]:
    """Returns the parts of a source, at least one."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return _folder_parts(path, specs)
        stored = load_arrays(path, array_forms(path))
        return [replace(_held_part(str(path), stored, None, specs), file=_as_file(path))]
    labels: npt.ArrayLike | None = None
    if isinstance(source, tuple):
        if len(source) != 2:
            raise DataError(f"data: is a tuple of {len(source)}; give (inputs, labels)")
        source, labels = source
    table = source if isinstance(source, Mapping) else {UNNAMED: source}
    arrays = {name: _as_array(name, array) for name, array in table.items()}
    return [_held_part("data", arrays, labels, specs)]


def _folder_parts(folder: Path, specs: Sequence[InputSpec]) -> list[_Part]:
    """Returns a part for every file of a folder, with the labels of the files or of the folder."""
    files = folder_files(folder, ARRAY_SUFFIXES)
    if not files:
        raise DataError(f"{folder}: holds no .npy or .npz file; give a folder with some")
    parts = [_file_part(file, specs) for file in files]
    labelled = [part for part in parts if part.labels is not None]
    if not labelled:
        return [replace(part, labels=_folder_labels(part)) for part in parts]
    if len(labelled) < len(parts):
        bare = next(part for part in parts if part.labels is None)
        raise DataError(
            f"{bare.where}: has no labels, but {labelled[0].where} has; "
            "add them to every file or remove them from every file"
        )
    return parts


def _folder_labels(part: _Part) -> npt.NDArray[np.int64] | None:
    """Returns the label that the folder gives to a file, for each sample in it."""
    if part.file is None or part.file.label is None:
        return None
    return np.full(part.count, part.file.label, dtype=np.int64)


def _file_part(file: FolderFile, specs: Sequence[InputSpec]) -> _Part:
    """Returns a file of a folder as a part, with the labels in it; only headers are read."""
    where = str(file.path)
    forms = array_forms(file.path)
    names, labels_name = _assigned(where, forms, specs)
    count = _checked_count(where, forms, names, specs, lone=True)
    labels = None
    if labels_name is not None:
        stored = load_arrays(file.path, [labels_name])
        labels = checked_labels(where, stored[labels_name], count)
    return _Part(where, file, partial(load_arrays, file.path), names, count, labels)


def _held_part(
    where: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    labels: npt.ArrayLike | None,
    specs: Sequence[InputSpec],
) -> _Part:
    """Returns arrays in memory as a part; `labels` given apart go before any among them."""
    forms = {name: ArrayForm(array.shape, array.dtype) for name, array in arrays.items()}
    names, labels_name = _assigned(where, forms, specs, labels_apart=labels is not None)
    count = _checked_count(where, forms, names, specs, lone=False)
    if labels_name is not None:
        labels = arrays[labels_name]
    checked = None if labels is None else checked_labels(where, _as_array("y", labels), count)
    return _Part(where, None, lambda _: arrays, names, count, checked)


def _assigned(
    where: str,
    forms: Mapping[str, ArrayForm],
    specs: Sequence[InputSpec],
    labels_apart: bool = False,
) -> tuple[dict[str, str], str | None]:
    """Returns the name of the array for each input, and the name of the labels, if any."""
    inputs = [spec.name for spec in specs]
    candidates = [n for n in _LABELS if n in forms and n not in inputs]
    labels = candidates[0] if candidates and not labels_apart and len(forms) > 1 else None
    held = [name for name in forms if name != labels]
    if len(inputs) == len(held) == 1:  # the name of a lone array says nothing
        return {inputs[0]: held[0]}, labels
    expected = ", ".join(inputs)
    if held == [UNNAMED]:
        raise DataError(
            f"{where}: is one array, but the model has the inputs {expected}; "
            "give an .npz (in Python, a dict) with one array an input"
        )
    for name in inputs:
        if name not in held:
            raise DataError(
                f"{where}: has no array for input {name!r}, but {', '.join(held) or 'none'}; "
                f"name the arrays as the inputs of the model: {expected}"
            )
    for name in held:
        if name not in inputs:
            advice = "" if labels_apart else ", or name it 'labels' if that is what it holds"
            raise DataError(
                f"{where}: array {name!r} is no input of the model ({expected}); remove it{advice}"
            )
    return {name: name for name in inputs}, labels


def _checked_count(
    where: str,
    forms: Mapping[str, ArrayForm],
    names: Mapping[str, str],
    specs: Sequence[InputSpec],
    *,
    lone: bool,
) -> int:
    """Returns the number of samples, after shapes and element types were found to fit.

    Args:
        where: what messages call the part.
        forms: shapes and element types, by name in the part.
        names: the name in the part, by input.
        specs: the inputs of the model.
        lone: whether an array may be one sample without the batch axis.
    """
    counts = {}
    for spec in specs:
        form = forms[names[spec.name]]
        if not _castable(form.dtype, spec.dtype):
            raise DataError(
                f"{where}: input {spec.name!r} has elements of {form.dtype}, the model expects "
                f"{spec.dtype}; convert the data to {spec.dtype}"
            )
        shape = form.shape
        if lone and len(shape) == len(spec.shape) - 1:
            shape = (1, *shape)
        sizes = zip(shape[1:], spec.shape[1:], strict=False)
        if len(shape) != len(spec.shape) or any(want not in (None, has) for has, want in sizes):
            raise DataError(
                f"{where}: input {spec.name!r} has shape {form.shape}, the model expects "
                f"{shape_text(spec.shape)}; reshape the data, with its samples on the first axis"
            )
        counts[spec.name] = shape[0]
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise DataError(f"{where}: has {text}; give every input the same number of samples")
    count = next(iter(counts.values()))
    if not count:
        raise DataError(f"{where}: holds 0 samples; give at least one, or remove it")
    return count


def _castable(has: np.dtype[Any], wants: np.dtype[Any]) -> bool:
    """Returns whether data of one element type may be converted to that of the input."""
    if wants.kind in "fV":  # V: the float types that numpy itself does not know, such as bfloat16
        return has.kind in "fiub" or has == wants
    return has.kind in {"i": "iub", "u": "iub", "b": "b"}.get(wants.kind, "")


def _as_file(path: Path) -> FolderFile:
    """Returns a file that was given by itself."""
    return FolderFile(path.name, path, None)


def _as_array(name: str, data: npt.ArrayLike) -> npt.NDArray[Any]:
    """Returns data given in Python as an array; an array stays the one it is."""
    try:
        return np.asarray(data)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"data: {name!r} is no array ({error}); give a numpy array") from error
