"""Other views of the same images: shifted, with their border reflected, or mirrored.

Of an image of height h, a crop takes row r from row r + d of the picture that goes on beyond its
border as in a mirror, with whole d drawn evenly from -m to m; columns alike, by the width:

    m = max(1, round(h / 8)),   0 where h = 1

So a crop needs to know nothing of mean and scale, as black borders would. A flip swaps left and
right, by a coin. All inputs of a sample are moved alike, those of other sizes in proportion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch, Dataset, InputSpec
from onnxtrim.calibration.data.images import ImageFolder
from onnxtrim.calibration.data.preprocess import image_layout
from onnxtrim.config import DataConfig
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import TuneConfig

__all__ = ["Augmentation", "augmentation_of", "augmented", "mirrored", "shifted"]

_SHARE = 8
_STREAM = 1
"""Tells these random numbers from those of the order, whose seeds numpy fills up with zeros."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How images are changed.

    Attributes:
        flip: whether half of them, drawn at random, are mirrored.
        crop: whether they are shifted.
        layouts: where the channels are, by name of the inputs that take images.
        seed: of whatever is random.
    """

    flip: bool
    crop: bool
    layouts: Mapping[str, Literal["nchw", "nhwc"]]
    seed: int


def augmentation_of(
    config: TuneConfig,
    reading: DataConfig,
    specs: Sequence[InputSpec],
    data: Dataset,
    *,
    classes: bool,
) -> Augmentation | None:
    """Returns how images are changed; None where they are seen as they are.

    By itself it shifts the image files of a classifier only. Arrays may be something else, and
    other models need their pixels where they are. Nothing is mirrored unasked: letters would be
    others.

    Args:
        config: what is asked for.
        reading: how data are read, with the layout of images.
        specs: the inputs of the model.
        data: what is learned from.
        classes: whether classes are told apart.

    Raises:
        UsageError: it is asked for, and no input takes images.
    """
    wanted = config.augment
    if wanted == "auto":
        wanted = "crop" if classes and isinstance(data, ImageFolder) else "none"
    if wanted == "none":
        return None
    found = {spec.name: image_layout(spec, reading) for spec in specs}
    layouts = {name: layout for name, layout in found.items() if layout is not None}
    if not layouts:
        raise UsageError(
            f"--augment {wanted}: no input has 4 axes with 1 or 3 channels in position 1 or 3; "
            "give --layout if one takes images, or else --augment none"
        )
    return Augmentation("flip" in wanted, "crop" in wanted, layouts, config.seed)


def augmented(batch: Batch, how: Augmentation, epoch: int, index: int) -> Batch:
    """Returns a batch with its images changed; the same of one seed, epoch and index each time."""
    rng = np.random.default_rng([how.seed, epoch, index, _STREAM])
    draws = rng.random((3, 1 if batch.call else batch.length))
    changed = {
        name: _changed(batch.inputs[name], layout, how, draws)
        for name, layout in how.layouts.items()
    }
    return replace(batch, inputs={**batch.inputs, **changed})


def mirrored(images: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Returns images, (samples, channels, height, width), the `chosen` ones left side right."""
    mirror: npt.NDArray[Any] = images.copy()
    mirror[chosen] = images[chosen, ..., ::-1]
    return mirror


def shifted(
    images: npt.NDArray[Any], down: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Returns images whose pixel (r, c) is that of (r + down, c + right), beyond the border too.

    Args:
        images: (samples, channels, height, width).
        down: (samples,) rows, each less than the height.
        right: (samples,) columns, each less than the width.
    """
    top, left = (int(np.abs(steps).max()) for steps in (down, right))
    wide = np.pad(images, ((0, 0), (0, 0), (top, top), (left, left)), mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(wide, images.shape[2:], axis=(2, 3))
    chosen: npt.NDArray[Any] = views[np.arange(len(images)), :, top + down, left + right]
    return chosen


def _changed(
    array: npt.NDArray[Any],
    layout: Literal["nchw", "nhwc"],
    how: Augmentation,
    draws: npt.NDArray[np.float64],
) -> npt.NDArray[Any]:
    """Returns images changed by draws from [0, 1): (3, samples), or (3, 1) that are for all."""
    images = array if layout == "nchw" else np.moveaxis(array, 3, 1)
    coins, rows, columns = np.broadcast_to(draws, (3, len(images)))
    if how.crop:
        height, width = images.shape[2:]
        images = shifted(images, _steps(rows, height), _steps(columns, width))
    if how.flip:
        images = mirrored(images, coins < 0.5)
    return np.ascontiguousarray(images if layout == "nchw" else np.moveaxis(images, 1, 3))


def _steps(draws: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.int64]:
    """Returns draws from [0, 1) as steps along a side."""
    most = max(1, round(side / _SHARE)) if side > 1 else 0
    return np.floor(draws * (2 * most + 1)).astype(np.int64) - most
