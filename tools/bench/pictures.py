"""The 1,000 sample images of ImageNet, as models want them."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["imagenet", "pictures"]

CROP = 0.875


def pictures(assets: Path, size: tuple[int, int], mode: str) -> npt.NDArray[np.float32]:
    """Returns the images of a height and width, squeezed to fit, (1000, channels, ...), 0..255."""
    found = [
        np.atleast_3d(np.asarray(image.convert(mode).resize(size[::-1]), np.float32))
        for image in _images(assets)
    ]
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))


def imagenet(
    assets: Path, size: int = 224
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns the middles of the images, (1000, size, size, 3) in -1..1, and their classes."""
    found = []
    for image in _images(assets):
        side = CROP * min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        middle = image.convert("RGB").crop(
            (round(left), round(top), round(left + side), round(top + side))
        )
        found.append(np.asarray(middle.resize((size, size), Image.Resampling.BILINEAR), np.float32))
    with np.load(assets / "data" / "imagenet_sample_256.npz") as stored:
        labels = stored["labels"].astype(np.int64)
    return (np.stack(found) - 127.5) / 127.5, labels


def _images(assets: Path) -> list[Any]:
    """Returns the images as they were stored."""
    with np.load(assets / "data" / "imagenet_sample_256.npz") as stored:
        blob, offsets = stored["blob"], stored["offsets"]
    return [Image.open(io.BytesIO(blob[start:end].tobytes())) for start, end in pairwise(offsets)]
