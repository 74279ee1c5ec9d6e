"""An image file -> the array that an image input of the model takes.

p' = (p * scale - mean) / std, channel by channel, in the order of channels of the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from onnxtrim.calibration.dataset import InputSpec
from onnxtrim.calibration.labels import shape_text
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError

__all__ = ["ImageGeometry", "image_array", "image_geometry"]

_MAX_PIXEL = 255
_WIDE_TO_BYTE = 257  # 65535 / 255


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """How an image lies in an input: its size, its channels, where they are, and their order."""

    height: int
    width: int
    channels: int
    layout: Literal["nchw", "nhwc"]
    color: Literal["gray", "rgb", "bgr"]


def image_geometry(spec: InputSpec, config: DataConfig) -> ImageGeometry:
    """Returns how images are laid out for the input `spec`.

    What the options leave open is read from the shape: 1 or 3 channels in position 1 is nchw, in
    position 3 nhwc, in that order.

    Raises:
        DataError: the input takes no images.
        UsageError: an option contradicts the input, or is needed and missing.
    """
    if len(spec.shape) != 4:
        raise DataError(
            f"input {spec.name!r} {shape_text(spec.shape)} takes no images, which have 4 axes; "
            "give its data as .npy or .npz"
        )
    layout = _layout(spec, config)
    channel_axis, height_axis, width_axis = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
    channels = _channels(spec, config, layout, spec.shape[channel_axis])
    height, width = _size(spec, config, (spec.shape[height_axis], spec.shape[width_axis]))
    color = config.color
    if color == "auto":
        color = "gray" if channels == 1 else "rgb"
    _check_dtype(spec, config)
    for option, figures in (("--mean", config.mean), ("--std", config.std)):
        if len(figures) not in (1, channels):
            raise UsageError(
                f"{option} has {len(figures)} figures, input {spec.name!r} {channels} channel(s); "
                "give one figure a channel, or one for all"
            )
    return ImageGeometry(height, width, channels, layout, color)


def image_array(
    path: Path, geometry: ImageGeometry, config: DataConfig, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Returns the image in the file `path` as the model takes it, without the batch axis.

    An input of integers gets the pixels as they are, 0 to 255.

    Raises:
        DataError: the file does not decode as an image, or its pixels have no known range.
    """
    image = _decoded(path, "L" if geometry.channels == 1 else "RGB")
    if image.size != (geometry.width, geometry.height):
        # Pillow's bilinear filter widens with the reduction, so nothing aliases.
        image = image.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(geometry.height, geometry.width, geometry.channels)
    if geometry.color == "bgr":
        pixels = pixels[..., ::-1]
    if dtype.kind not in "iu":
        mean, std = (np.array(figures, dtype=np.float32) for figures in (config.mean, config.std))
        pixels = (pixels.astype(np.float32) * np.float32(config.scale) - mean) / std
    if geometry.layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=dtype)


def _layout(spec: InputSpec, config: DataConfig) -> Literal["nchw", "nhwc"]:
    """Returns where the channels are."""
    if config.layout != "auto":
        return config.layout
    if spec.shape[1] in (1, 3):
        return "nchw"
    if spec.shape[3] in (1, 3):
        return "nhwc"
    raise UsageError(
        f"input {spec.name!r} {shape_text(spec.shape)}: 1 or 3 channels are neither in position 1 "
        "nor 3; give --layout and --color if it takes images, or else its data as .npy or .npz"
    )


def _channels(
    spec: InputSpec, config: DataConfig, layout: str, channels: int | None
) -> Literal[1, 3]:
    """Returns the number of channels, which the colour decides where the model leaves it open."""
    where = f"input {spec.name!r} {shape_text(spec.shape)}"
    if channels is None and config.color == "auto":
        raise UsageError(f"{where}: the channels are open in the model; give --color")
    if channels not in (None, 1, 3):
        raise UsageError(
            f"{where} has {channels} channels as {layout}, an image 1 or 3; "
            "give another --layout, or the data as .npy or .npz"
        )
    wanted = {"auto": channels, "gray": 1}.get(config.color, 3)
    if channels not in (None, wanted):
        raise UsageError(
            f"--color {config.color} has {wanted} channel(s), {where} has {channels}; "
            f"give --color {'gray' if channels == 1 else 'rgb or bgr'}"
        )
    return 1 if wanted == 1 else 3


def _size(
    spec: InputSpec, config: DataConfig, fixed: tuple[int | None, int | None]
) -> tuple[int, int]:
    """Returns height and width, from the model where it says and from --image-size otherwise."""
    where = f"input {spec.name!r} {shape_text(spec.shape)}"
    height, width = config.image_size or fixed
    if height is None or width is None:
        raise UsageError(f"{where}: height and width are open in the model; give --image-size")
    for given, size in zip((height, width), fixed, strict=True):
        if size not in (None, given):
            raise UsageError(
                f"--image-size {height} {width} contradicts {where}; leave --image-size out, "
                "or give the size of the model"
            )
    return height, width


def _check_dtype(spec: InputSpec, config: DataConfig) -> None:
    """Raises where the element type holds no pixels, or where scaling would destroy them."""
    kind = spec.dtype.kind
    if kind in "fV":  # V: the float types that numpy itself does not know, such as bfloat16
        return
    if kind not in "iu" or np.iinfo(spec.dtype).max < _MAX_PIXEL:
        raise DataError(
            f"input {spec.name!r} is {spec.dtype}, which holds no pixels from 0 to 255; "
            "give its data as .npy or .npz"
        )
    default = DataConfig()
    if (config.scale, config.mean, config.std) != (default.scale, default.mean, default.std):
        raise UsageError(
            f"input {spec.name!r} is {spec.dtype} and takes pixels as they are; "
            "leave --scale, --mean and --std out"
        )


def _decoded(path: Path, mode: Literal["L", "RGB"]) -> Image.Image:
    """Returns the image upright, with 8 bits a channel, in `mode`."""
    try:
        with Image.open(path) as file:
            image_format = file.format
            image = ImageOps.exif_transpose(file)
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                image = _narrowed(image, image_format, path)
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")  # straight to RGB, Pillow warns
            return image.convert(mode)
    except DataError:
        raise
    except Exception as error:  # malformed content surfaces as many types
        raise DataError(f"{path}: does not decode as an image; remove it or replace it") from error


def _narrowed(image: Image.Image, image_format: str | None, path: Path) -> Image.Image:
    """Returns a grey image of 16 bits with 8; Pillow itself would clip all that is above 255."""
    # Pillow gives 16 bits as "I", the mode of 32, from these two formats only.
    if not image.mode.startswith("I;16") and image_format not in ("PNG", "PPM"):
        raise DataError(
            f"{path}: has pixels of 32 bits, whose range is unknown; save it with 8 or 16 bits"
        )
    wide = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.rint(wide / _WIDE_TO_BYTE).astype(np.uint8))
