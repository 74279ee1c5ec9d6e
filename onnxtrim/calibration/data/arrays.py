"""Arrays as calibration data: in memory, in a .npy or .npz file, or in a folder of such files.

Nothing is ever unpickled. A .npy file is memory mapped, an .npz given by itself is read once; the
files of a folder are opened anew on every pass, so that a folder need not fit in memory.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch, InputSpec, batched, regrouped
from onnxtrim.calibration.data.labels import (
    FolderFile,
    array_forms,
    file_mark,
    load_arrays,
    spread,
)
from onnxtrim.calibration.data.parts import Part, held_part, make_part, piece, values_of
from onnxtrim.calibration.data.skipping import usable
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError

__all__ = ["ARRAY_SUFFIXES", "ArrayData", "array_file", "array_files"]

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})

_ROWS_A_DIGEST = 1024

_Rows = tuple[Part, npt.NDArray[np.int64]]
"""A part, and the rows chosen of it."""


class ArrayData:
    """Samples that are arrays already, in parts; a part may be a call (see `parts`).

    Args:
        parts: where the samples lie, at least one part.
        specs: the inputs of the model.
        config: how many samples are read, and whether bad parts are skipped.
        skipped: the names of the parts that were skipped already.

    Raises:
        DataError: some parts have labels and others have none, or all are bad.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        specs: Sequence[InputSpec],
        config: DataConfig,
        skipped: tuple[str, ...] = (),
    ) -> None:
        """Picks the samples; no value is read unless bad parts are to be skipped."""
        _check_labels(parts)
        self._specs = tuple(specs)
        counts = [part.count for part in parts]
        picked = _divided(counts, spread(sum(counts), config.samples))
        chosen = [item for item in zip(parts, picked, strict=True) if item[1].size]
        if config.skip_bad:
            chosen, bad = usable(chosen, self._read, lambda item: item[0].where, skip_bad=True)
            skipped += bad
        self._parts = chosen
        self.skipped = skipped

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label."""
        return all(part.labels is not None for part, _ in self._parts)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The labels of all samples, if known."""
        known = [part.labels[rows] for part, rows in self._parts if part.labels is not None]
        return np.concatenate(known) if self.labelled else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the files (in memory: the arrays), rows and labels."""
        digest = hashlib.sha256()
        for part, rows in self._parts:
            for file in part.files:
                digest.update(file_mark(file.name, file.path))
            if not part.files:
                _digest_arrays(digest.update, values_of(part, self._specs), rows, self._specs)
            digest.update(rows.tobytes())
            digest.update(b"" if part.labels is None else part.labels[rows].tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Returns the number of samples."""
        return sum(rows.size for _, rows in self._parts)

    def subset(self, indices: npt.NDArray[np.int64]) -> Self:
        """Returns the samples at `indices`, which rise."""
        picked = _divided([rows.size for _, rows in self._parts], indices)
        items = zip(self._parts, picked, strict=True)
        chosen = copy.copy(self)
        chosen._parts = [(part, rows[mine]) for (part, rows), mine in items if mine.size]
        return chosen

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all samples in order, `size` at a time; the last batch may be smaller.

        Calls come one at a time, whatever the size.

        Raises:
            DataError: a file cannot be read any more, or a value does not fit its input.
            UsageError: `size` is not positive.
        """
        if size < 1:
            raise UsageError(f"batch size {size}: at least 1 is needed")
        return regrouped((b for item in self._parts for b in self._pieces(item, size)), size)

    def _pieces(self, item: _Rows, size: int) -> Iterator[Batch]:
        """Yields the chosen samples of a part, at most `size` at a time."""
        part, rows = item
        values = values_of(part, self._specs)
        for start in range(0, rows.size, size):
            yield piece(part, values, self._specs, rows[start : start + size])

    def _read(self, item: _Rows) -> _Rows:
        """Returns the chosen samples of a part, after all were read.

        Raises:
            DataError: the part cannot be read, or a value does not fit its input.
        """
        for _ in self._pieces(item, _ROWS_A_DIGEST):
            pass
        return item


def array_file(path: Path, specs: Sequence[InputSpec]) -> Part:
    """Returns a .npy or .npz file by itself, with its samples on the first axis.

    Raises:
        DataError: it cannot be read, or does not fit the model.
    """
    stored = load_arrays(path, array_forms(path))
    part = held_part(str(path), stored, specs)
    return replace(part, files=(FolderFile(path.name, path, None),))


def array_files(
    files: Sequence[FolderFile], specs: Sequence[InputSpec], *, skip_bad: bool
) -> tuple[list[Part], tuple[str, ...]]:
    """Returns a part for every file of a folder, and the names of those that were skipped.

    A file is one sample where it has one axis less than the input, and a batch of samples where
    it has as many. Labels in the files go before those of the folder (see `labels.folder_files`).
    Only headers and labels are read.

    Raises:
        DataError: a file cannot be read or does not fit the model.
    """
    parts, skipped = usable(
        files, lambda file: _file_part(file, specs), lambda file: str(file.path), skip_bad=skip_bad
    )
    if all(part.labels is None for part in parts):
        parts = [replace(part, labels=_folder_labels(part)) for part in parts]
    return parts, skipped


def _file_part(file: FolderFile, specs: Sequence[InputSpec]) -> Part:
    """Returns a file of a folder as a part, with the labels in it."""
    forms, load = array_forms(file.path), partial(load_arrays, file.path)
    return make_part(str(file.path), forms, load, specs, lone=True, files=(file,))


def _folder_labels(part: Part) -> npt.NDArray[np.int64] | None:
    """Returns the label that the folder gives to a file, for each sample in it."""
    (file,) = part.files
    return None if file.label is None else np.full(part.count, file.label, dtype=np.int64)


def _check_labels(parts: Sequence[Part]) -> None:
    """Raises DataError where some parts have labels and others have none."""
    labelled = [part for part in parts if part.labels is not None]
    if 0 < len(labelled) < len(parts):
        bare = next(part for part in parts if part.labels is None)
        raise DataError(
            f"{bare.where}: has no labels, but {labelled[0].where} has; "
            "add them everywhere or remove them everywhere"
        )


def _divided(counts: Sequence[int], indices: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Returns `indices`, which rise, part by part, counted from the first row of each part."""
    ends = np.cumsum(counts)
    pieces = np.split(indices, np.searchsorted(indices, ends[:-1]))
    return [piece - (end - count) for piece, end, count in zip(pieces, ends, counts, strict=True)]


def _digest_arrays(
    update: Callable[[bytes], None],
    values: Mapping[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.int64],
    specs: Sequence[InputSpec],
) -> None:
    """Feeds the samples `rows` of a part with `values`, or a call, to a digest."""
    for name, array in values.items():
        if not batched(specs):
            update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + array.tobytes())
            continue
        update(f"{name}\0{array.dtype}\0{array.shape[1:]}\0".encode())
        for start in range(0, rows.size, _ROWS_A_DIGEST):
            update(array[rows[start : start + _ROWS_A_DIGEST]].tobytes())
