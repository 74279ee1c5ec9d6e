"""CIFAR-10 as the benchmarks read it: JPEG bytes in one .npz, decoded and normalised."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["cifar"]

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def cifar(
    assets: Path, split: str, count: int
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Returns the first `count` images of `train` or `test`, (count, 3, 32, 32), and labels."""
    stored = np.load(assets / "data" / "cifar10_jpeg.npz")
    blob, offsets = stored[f"{split}_blob"], stored[f"{split}_offsets"]
    images = [
        np.asarray(Image.open(io.BytesIO(blob[a:b].tobytes())).convert("RGB"))
        for a, b in pairwise(offsets[: count + 1])
    ]
    pixels = (np.stack(images).astype(np.float32) / 255 - _MEAN) / _STD
    labels = stored[f"{split}_labels"][:count].astype(np.int64)
    return {"input": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}, labels
