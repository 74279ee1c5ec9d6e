"""`preprocessor_config.json`, with which models on Hugging Face say how images are prepared.

The steps, in their order: resize, centre crop, rescale, normalise. A key that is missing, null or
false leaves its step out, but pixels are rescaled by 1/255 unless the file says not to.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from onnxtrim.errors import DataError

__all__ = ["FILE_NAME", "Extent", "Processor", "read_processor"]

FILE_NAME = "preprocessor_config.json"

Extent = tuple[int, int] | int
"""Height and width; or the shorter of the two, the other in proportion."""

_SHORTER = {
    **dict.fromkeys(("CLIP", "ChineseCLIP", "ConvNext", "MobileNetV1", "MobileNetV2", "Bit"), True),
    **dict.fromkeys(("", "ViT", "DeiT", "Beit", "Siglip", "Blip", "Segformer"), False),
}
"""The kinds of processors whose steps are these, and whether a lone size is the shorter side."""

_CONVNEXT, _CONVNEXT_WHOLE = "ConvNext", 384
_NO_PIXEL_CHANGES = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_processor_class",
    "_valid_processor_keys", "auto_map", "do_convert_rgb", "do_reduce_labels", "reduce_labels",
    "data_format", "input_data_format", "return_tensors", "model_input_names", "device",
    "default_to_square", "_name_or_path", "transformers_version",
}  # fmt: skip
_STEPS = {
    "do_resize", "size", "resample", "crop_pct", "do_center_crop", "crop_size", "do_rescale",
    "rescale_factor", "do_normalize", "image_mean", "image_std",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Processor:
    """What such a file says.

    Attributes:
        resize: The size to resize to first; None for none.
        crop: Height and width of the middle to keep then; None for all.
        resample: The filter to resize with.
        scale: What to multiply pixels by.
        mean: What to subtract after that; None for nothing.
        std: What to divide by after that; None for nothing.
    """

    resize: Extent | None
    crop: tuple[int, int] | None
    resample: Image.Resampling
    scale: float
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that images come out with, where the file decides it."""
        return self.crop or (self.resize if isinstance(self.resize, tuple) else None)


def read_processor(path: Path) -> Processor:
    """Returns what the file says.

    Raises:
        DataError: it cannot be read, or has a step that is none of these.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as JSON ({reason}); correct the file") from error
    try:
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return _processor(content)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path}: {reason}; correct the file, or remove it and give --image-size, --crop, "
            "--scale, --mean and --std instead"
        ) from error


def _processor(content: Mapping[str, Any]) -> Processor:
    """Returns the steps of a file.

    Raises:
        ValueError: a key is unknown and not off, or has a value that makes no sense.
        KeyError: a step lacks a figure.
    """
    for key, value in content.items():
        if key not in _NO_PIXEL_CHANGES | _STEPS and value not in (None, False):
            raise ValueError(f"{key} {value!r} is not supported")
    given = {key: value for key, value in content.items() if value is not None}
    kind = _kind(given)
    shorter = not given.get("default_to_square", not _SHORTER[kind])
    resize = _size(given["size"], shorter=shorter) if _does(given, "do_resize", "size") else None
    crop = None
    if _does(given, "do_center_crop", "crop_size"):
        crop = _rectangle(given["crop_size"])
    if kind == _CONVNEXT and resize is not None:
        resize, crop = _convnext(resize, given.get("crop_pct", 224 / 256), crop)
    elif "crop_pct" in given:
        raise ValueError(f"crop_pct is not supported for {kind or 'an unnamed'} processor")
    if isinstance(resize, int) and crop is None:
        raise ValueError("images resized by their shorter side and not cropped differ in size")
    rescales = given.get("do_rescale", True)
    normalizes = _does(given, "do_normalize", "image_mean")
    mean, std = (_figures(given[f"image_{n}"]) if normalizes else None for n in ("mean", "std"))
    if std is not None and (not std or 0 in std or not mean):
        raise ValueError("image_mean and image_std take a figure a channel, and std none that is 0")
    return Processor(
        resize=resize,
        crop=crop,
        resample=Image.Resampling(given.get("resample", Image.Resampling.BILINEAR)),
        scale=_number(given.get("rescale_factor", 1 / 255)) if rescales else 1.0,
        mean=mean,
        std=std,
    )


def _kind(given: Mapping[str, Any]) -> str:
    """Returns the kind of processor, empty where the file names none."""
    name = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
    kind = re.sub("(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", name)
    if kind not in _SHORTER:
        raise ValueError(f"the steps of a {name} are not known")
    return kind


def _does(given: Mapping[str, Any], flag: str, figure: str) -> bool:
    """Returns whether a step is done: as its flag says, else where its figure is given."""
    return bool(given.get(flag, figure in given))


def _size(value: object, *, shorter: bool) -> Extent:
    """Returns a size; `shorter` says what a lone number is."""
    if isinstance(value, dict) and value.keys() == {"height", "width"}:
        return _whole(value["height"]), _whole(value["width"])
    if isinstance(value, dict) and value.keys() == {"shortest_edge"}:
        return _whole(value["shortest_edge"])
    number = _whole(value)
    return number if shorter else (number, number)


def _rectangle(value: object) -> tuple[int, int]:
    """Returns height and width; one number is both."""
    size = _size(value, shorter=False)
    if isinstance(size, int):
        raise ValueError(f"crop_size {value!r} has no height and width")
    return size


def _convnext(
    resize: Extent, share: object, crop: tuple[int, int] | None
) -> tuple[Extent, tuple[int, int] | None]:
    """Returns how ConvNext resizes and crops: small sizes are a share of the shorter side."""
    if not isinstance(resize, int) or crop is not None:
        raise ValueError("a ConvNext processor takes size.shortest_edge, and no crop_size")
    if resize >= _CONVNEXT_WHOLE:
        return (resize, resize), None
    kept = _number(share)
    if not 0 < kept <= 1:
        raise ValueError(f"crop_pct {share!r} is no share")
    return int(resize / kept), (resize, resize)


def _whole(value: object) -> int:
    """Returns a number of pixels."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is no size")
    return value


def _number(value: object) -> float:
    """Returns a number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def _figures(value: object) -> tuple[float, ...]:
    """Returns one figure a channel, or one for all."""
    figures = value if isinstance(value, list) else [value]
    return tuple(_number(figure) for figure in figures)
