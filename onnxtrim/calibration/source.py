"""Whatever holds calibration data -> a Dataset for the inputs of the model."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np

from onnxtrim.calibration.arrays import ARRAY_SUFFIXES, ArrayData, ArraySource
from onnxtrim.calibration.dataset import Dataset, InputSpec
from onnxtrim.calibration.images import IMAGE_SUFFIXES, ImageFolder
from onnxtrim.calibration.labels import folder_files
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

__all__ = ["DataSource", "open_data"]

DataSource = ArraySource | Dataset
"""A path (folder of images, folder of .npy and .npz, one such file), arrays, or a Dataset."""


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
    if isinstance(source, np.ndarray | Mapping | tuple):
        return ArrayData(source, specs, config)
    if _is_dataset(source):
        return source
    raise DataError(
        f"data: a {type(source).__name__} cannot be read; "
        "give a path, an array, a dict of arrays, or (inputs, labels)"
    )


def _open_path(path: Path, specs: Sequence[InputSpec], config: DataConfig) -> Dataset:
    """Returns the data in a file or folder."""
    if not os.path.exists(path):  # unlike Path.exists, False for whatever is no path at all
        raise DataError(f"{path}: does not exist; give a folder, or an .npy or .npz file")
    if path.is_dir():
        return _open_folder(path, specs, config)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return ArrayData(path, specs, config)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{path}: is a single image; give the folder that holds the images")
    raise DataError(
        f"{path}: is of no known type; give a folder of images, or a folder or file of .npy or .npz"
    )


def _open_folder(folder: Path, specs: Sequence[InputSpec], config: DataConfig) -> Dataset:
    """Returns the images or the arrays in a folder."""
    files = folder_files(folder, IMAGE_SUFFIXES | ARRAY_SUFFIXES)
    arrays = [file for file in files if file.path.suffix.lower() in ARRAY_SUFFIXES]
    if not files:
        if not any(folder.iterdir()):
            raise DataError(f"{folder}: is empty; put images, .npy or .npz files into it")
        raise DataError(
            f"{folder}: holds no image, .npy or .npz file; "
            "give the folder that does, or convert the data"
        )
    if 0 < len(arrays) < len(files):
        image = next(file for file in files if file not in arrays)
        raise DataError(
            f"{folder}: holds both images ({image.name}) and arrays ({arrays[0].name}); "
            "put them in folders of their own and give one"
        )
    if arrays:
        return ArrayData(folder, specs, config)
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise DataError(
            f"{folder}: holds images, but the model has the inputs {names}; "
            "give .npz files with one array an input"
        )
    return ImageFolder(folder, specs[0], config)


def _is_dataset(source: object) -> TypeGuard[Dataset]:
    """Returns whether `source` has what a Dataset has."""
    members = ("labelled", "fingerprint", "__len__", "batches")
    return all(hasattr(type(source), member) for member in members)
