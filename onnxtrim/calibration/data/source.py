"""Whatever holds calibration data -> a Dataset for the inputs of the model."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy.typing as npt

from onnxtrim.calibration.data.arrays import ARRAY_SUFFIXES, ArrayData, array_file, array_files
from onnxtrim.calibration.data.dataset import Dataset, InputSpec
from onnxtrim.calibration.data.images import IMAGE_SUFFIXES, ImageFolder
from onnxtrim.calibration.data.labels import FolderFile, folder_files
from onnxtrim.calibration.data.parts import Part, given_part
from onnxtrim.calibration.data.streams import CalibrationReader, stream_parts
from onnxtrim.calibration.data.tensor_sets import tensor_parts, tensor_sets
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

__all__ = ["DataSource", "open_data"]

_Inputs = npt.NDArray[Any] | Mapping[str, npt.ArrayLike]

DataSource = (
    str
    | os.PathLike[str]
    | _Inputs
    | tuple[_Inputs, npt.ArrayLike]
    | Iterable[Any]
    | CalibrationReader
    | Dataset
)
"""A path (folder of images, of .npy, .npz or test sets, one array file), arrays, batches that are
yielded, or a Dataset."""


def open_data(source: DataSource, specs: Sequence[InputSpec], config: DataConfig) -> Dataset:
    """Returns the calibration data in `source` for a model with the inputs `specs`.

    A source that already is a Dataset comes back as it is.

    Raises:
        DataError: there is no data, it cannot be read, or it does not fit the model.
        UsageError: an option contradicts the model, or is needed and missing.
    """
    if not specs:
        raise DataError("the model has no input, so data changes nothing; leave --data out")
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), specs, config)
    if _is_dataset(source):
        return source
    if isinstance(source, Mapping) or hasattr(source, "__array__"):
        return ArrayData([given_part("data", source, None, specs)], specs, config)
    if isinstance(source, tuple):
        return ArrayData([_pair(source, specs)], specs, config)
    if isinstance(source, Iterable | CalibrationReader) and not isinstance(source, bytes):
        parts, skipped = stream_parts(source, specs, config)
        return ArrayData(parts, specs, config, skipped)
    raise DataError(
        f"data: a {type(source).__name__} cannot be read; give a path, an array, a dict of arrays, "
        "(inputs, labels), or what yields such batches"
    )


def _pair(source: tuple[Any, ...], specs: Sequence[InputSpec]) -> Part:
    """Returns (inputs, labels) as a part."""
    if len(source) != 2:
        raise DataError(f"data: is a tuple of {len(source)}; give (inputs, labels)")
    return given_part("data", *source, specs)


def _open_path(path: Path, specs: Sequence[InputSpec], config: DataConfig) -> Dataset:
    """Returns the data in a file or folder."""
    if not os.path.exists(path):  # unlike Path.exists, False for whatever is no path at all
        raise DataError(f"{path}: does not exist; give a folder, or an .npy or .npz file")
    if path.is_dir():
        return _open_folder(path, specs, config)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return ArrayData([array_file(path, specs)], specs, config)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{path}: is a single image; give the folder that holds the images")
    raise DataError(
        f"{path}: is of no known type; give a folder of images, or a folder or file of .npy or .npz"
    )


def _open_folder(folder: Path, specs: Sequence[InputSpec], config: DataConfig) -> Dataset:
    """Returns the images, the arrays or the test sets in a folder."""
    files = folder_files(folder, IMAGE_SUFFIXES | ARRAY_SUFFIXES)
    arrays = [file for file in files if file.path.suffix.lower() in ARRAY_SUFFIXES]
    images = [file for file in files if file.path.suffix.lower() in IMAGE_SUFFIXES]
    sets = tensor_sets(folder)
    _check_one_kind(folder, images, arrays, sets)
    if sets:
        parts, skipped = tensor_parts(sets, specs, skip_bad=config.skip_bad)
        return ArrayData(parts, specs, config, skipped)
    if arrays:
        parts, skipped = array_files(arrays, specs, skip_bad=config.skip_bad)
        return ArrayData(parts, specs, config, skipped)
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise DataError(
            f"{folder}: holds images, but the model has the inputs {names}; "
            "give .npz files with one array an input"
        )
    return ImageFolder(folder, specs[0], config)


def _check_one_kind(
    folder: Path, images: Sequence[FolderFile], arrays: Sequence[FolderFile], sets: Sequence[Path]
) -> None:
    """Raises DataError where a folder holds no data, or data of several kinds."""
    kinds = {
        "images": [file.name for file in images],
        "arrays": [file.name for file in arrays],
        "test sets": [path.name for path in sets],
    }
    found = [f"{kind} ({names[0]})" for kind, names in kinds.items() if names]
    if len(found) > 1:
        raise DataError(
            f"{folder}: holds both {' and '.join(found)}; "
            "put them in folders of their own and give one"
        )
    if found:
        return
    if not any(folder.iterdir()):
        raise DataError(f"{folder}: is empty; put images, .npy or .npz files into it")
    raise DataError(
        f"{folder}: holds no image, .npy or .npz file; "
        "give the folder that does, or convert the data"
    )


def _is_dataset(source: object) -> TypeGuard[Dataset]:
    """Returns whether `source` has what a Dataset has."""
    members = ("labelled", "fingerprint", "__len__", "batches")
    return all(hasattr(type(source), member) for member in members)
