"""A folder of images as calibration data."""

import copy
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch, InputSpec
from onnxtrim.calibration.data.labels import FolderFile, file_mark, folder_files, spread
from onnxtrim.calibration.data.preprocess import image_array, preparation
from onnxtrim.calibration.data.preprocessor import FILE_NAME, Processor, read_processor
from onnxtrim.calibration.data.skipping import usable
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError

__all__ = ["IMAGE_SUFFIXES", "ImageFolder"]

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


class ImageFolder:
    """The images of a folder, decoded anew on every pass: they need not fit in memory.

    Labels come from `labels.csv` or from class sub-folders (see `labels.folder_files`).

    Args:
        folder: the folder.
        spec: the image input of the model.
        config: how images are prepared, and how many are read.

    Raises:
        DataError: the folder holds no image or its labels are wrong, or the input takes no images.
        UsageError: an option contradicts the input, or is needed and missing.
    """

    def __init__(self, folder: str | os.PathLike[str], spec: InputSpec, config: DataConfig) -> None:
        """Lists the files; no image is decoded unless bad ones are to be skipped."""
        self._name = spec.name
        self._how = preparation(spec, config, _processor(Path(folder), config))
        files = folder_files(Path(folder), IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"{folder}: holds no image; give a folder with images")
        files = [files[i] for i in spread(len(files), config.samples)]
        self.skipped: tuple[str, ...] = ()
        if config.skip_bad:
            files, self.skipped = usable(files, self._tried, lambda f: str(f.path), skip_bad=True)
        self._files = files

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return all(file.label is not None for file in self._files)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names, the sizes and the labels of the files."""
        digest = hashlib.sha256()
        for file in self._files:
            digest.update(file_mark(file.name, file.path) + f"{file.label}\n".encode())
        return digest.hexdigest()

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The labels of all images, if known."""
        return np.array([f.label for f in self._files], dtype=np.int64) if self.labelled else None

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._files)

    def subset(self, indices: npt.NDArray[np.int64]) -> Self:
        """Returns the images at `indices`, which rise."""
        chosen = copy.copy(self)
        chosen._files = [self._files[i] for i in indices]
        return chosen

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all images in order, `size` at a time; the last batch may be smaller.

        Raises:
            DataError: a file does not decode as an image.
            UsageError: `size` is not positive.
        """
        if size < 1:
            raise UsageError(f"batch size {size}: at least 1 is needed")
        labelled = self.labelled
        for start in range(0, len(self._files), size):
            files = self._files[start : start + size]
            images = [image_array(file.path, self._how) for file in files]
            labels = [file.label for file in files if file.label is not None]
            yield Batch(
                {self._name: np.stack(images)},
                np.array(labels, dtype=np.int64) if labelled else None,
                len(files),
            )

    def _tried(self, file: FolderFile) -> FolderFile:
        """Returns `file`, after it was decoded.

        Raises:
            DataError: it cannot be.
        """
        image_array(file.path, self._how)
        return file


def _processor(folder: Path, config: DataConfig) -> Processor | None:
    """Returns what the preprocessor named, or else one in the folder, says; None for none."""
    if config.preprocessor is not None:
        return read_processor(Path(config.preprocessor))
    path = folder / FILE_NAME
    return read_processor(path) if path.is_file() else None
