"""The folders `test_data_set_0`, ... that ONNX models come with: one tensor file an input.

Each folder is a batch of samples as it is, or one call; `output_*.pb` are not read.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from onnxtrim.calibration.data.dataset import InputSpec
from onnxtrim.calibration.data.labels import ArrayForm, FolderFile
from onnxtrim.calibration.data.parts import Part, make_part
from onnxtrim.calibration.data.skipping import usable
from onnxtrim.errors import DataError
from onnxtrim.graph.tensor_file import read_tensor

__all__ = ["tensor_parts", "tensor_sets"]

_SET = re.compile(r"test_data_set_([0-9]+)")
_INPUT = re.compile(r"input_([0-9]+)\.pb")


def tensor_sets(folder: Path) -> list[Path]:
    """Returns the sets in a folder by number: itself where it holds `input_0.pb` and so on."""
    if _numbered(folder, _INPUT):
        return [folder]
    return _numbered(folder, _SET)


def tensor_parts(
    sets: Sequence[Path], specs: Sequence[InputSpec], *, skip_bad: bool
) -> tuple[list[Part], tuple[str, ...]]:
    """Returns a part for every set, and the names of those that were skipped.

    A tensor feeds the input that has its name; the others feed the inputs that are left, in order.

    Raises:
        DataError: a set cannot be read or does not fit the model.
    """
    return usable(sets, lambda folder: _set_part(folder, specs), str, skip_bad=skip_bad)


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Returns what is in a folder under names of a pattern, by number."""
    found = [(match, path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: int(pair[0][1]))]


def _set_part(folder: Path, specs: Sequence[InputSpec]) -> Part:
    """Returns a set as a part."""
    files = _numbered(folder, _INPUT)
    if len(files) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise DataError(
            f"{folder}: holds {len(files)} files input_*.pb, but the model has the inputs {names}; "
            "give one file an input"
        )
    tensors = [(path, *read_tensor(path)) for path in files]
    inputs = [spec.name for spec in specs]
    named = {name: path for path, name, _ in tensors if name in inputs}
    unnamed = (path for path in files if path not in named.values())
    paths = {name: named[name] if name in named else next(unnamed) for name in inputs}
    arrays = {path: array for path, _, array in tensors}
    return make_part(
        str(folder),
        {name: ArrayForm(arrays[p].shape, arrays[p].dtype) for name, p in paths.items()},
        partial(_load, paths),
        specs,
        files=tuple(FolderFile(f"{folder.name}/{path.name}", path, None) for path in files),
    )


def _load(paths: Mapping[str, Path], names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Returns the tensors that feed the inputs `names`."""
    return {name: read_tensor(paths[name])[1] for name in names}
