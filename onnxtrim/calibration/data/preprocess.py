"""An image file -> the array that an image input of the model takes.

p' = (p * scale - mean) / std, channel by channel, in the order of channels of the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from onnxtrim.calibration.data.dataset import InputSpec
from onnxtrim.calibration.data.framing import centre, middle, resized, shorter_side
from onnxtrim.calibration.data.labels import shape_text
from onnxtrim.calibration.data.preprocessor import Extent, Processor
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError

__all__ = ["Preparation", "image_array", "image_layout", "preparation"]

_MAX_PIXEL = 255
_WIDE_TO_BYTE = 257  # 65535 / 255


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything that is done to an image, with every option resolved.

    Attributes:
        height: Pixels of the input.
        width: Pixels of the input.
        channels: 1 or 3.
        layout: Where they are.
        color: Their order.
        dtype: Element type of the input.
        share: Of the image, how much of its middle to keep first; None for all.
        resize: Size to resize to then; None for none.
        crop: Height and width of the middle to keep then; None for all.
        resample: The filter to resize with.
        scale: What to multiply pixels by.
        mean: What to subtract after that, one figure a channel or one for all.
        std: What to divide by after that, one figure a channel or one for all.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    layout: Literal["nchw", "nhwc"]
    color: Literal["gray", "rgb", "bgr"]
    dtype: np.dtype[Any]
    share: float | None
    resize: Extent | None
    crop: tuple[int, int] | None
    resample: Image.Resampling
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def preparation(
    spec: InputSpec, config: DataConfig, processor: Processor | None = None
) -> Preparation:
    """Returns how images are prepared for the input `spec`.

    An option goes before the `processor`; --image-size and --crop go before all of its resizing
    and cropping. What both leave open is read from the shape.

    Raises:
        DataError: the input takes no images.
        UsageError: an option or the processor contradicts the input, or is needed and missing.
    """
    if len(spec.shape) != 4:
        raise DataError(
            f"input {spec.name!r} {shape_text(spec.shape)} takes no images, which have 4 axes; "
            "give its data as .npy or .npz"
        )
    layout = image_layout(spec, config)
    if layout is None:
        raise UsageError(
            f"input {spec.name!r} {shape_text(spec.shape)}: 1 or 3 channels are neither in "
            "position 1 nor 3; give --layout and --color if it takes images, or else its data as "
            ".npy or .npz"
        )
    channel_axis, height_axis, width_axis = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
    channels = _channels(spec, config, layout, spec.shape[channel_axis])
    framing = None if config.image_size or config.crop else processor
    size = _size(spec, config, framing, (spec.shape[height_axis], spec.shape[width_axis]))
    scale, mean, std = _figures(spec, config, processor, channels)
    color = config.color
    if color == "auto":
        color = "gray" if channels == 1 else "rgb"
    return Preparation(
        *size,
        channels,
        layout,
        color,
        spec.dtype,
        share=config.crop,
        resize=framing.resize if framing else size,
        crop=framing.crop if framing else None,
        resample=processor.resample if processor else Image.Resampling.BILINEAR,
        scale=scale,
        mean=mean,
        std=std,
    )


def image_layout(spec: InputSpec, config: DataConfig) -> Literal["nchw", "nhwc"] | None:
    """Returns where the channels of an image input are; None where it takes no images.

    --layout says it. Where it does not, 1 or 3 channels in position 1 are nchw, in position 3
    nhwc, in that order.
    """
    if len(spec.shape) != 4:
        return None
    if config.layout != "auto":
        return config.layout
    if spec.shape[1] in (1, 3):
        return "nchw"
    return "nhwc" if spec.shape[3] in (1, 3) else None


def image_array(path: Path, how: Preparation) -> npt.NDArray[Any]:
    """Returns the image in the file `path` as the model takes it, without the batch axis.

    An input of integers gets the pixels as they are, 0 to 255.

    Raises:
        DataError: the file does not decode as an image, its pixels have no known range, or it has
            another size and nothing resizes it.
    """
    image = _framed(_decoded(path, "L" if how.channels == 1 else "RGB"), how)
    if image.size != (how.width, how.height):
        raise DataError(
            f"{path}: is {image.height} pixels high and {image.width} wide, the input "
            f"{how.height} and {how.width}, and the preprocessor resizes nothing; give --image-size"
        )
    pixels = np.asarray(image).reshape(how.height, how.width, how.channels)
    if how.color == "bgr":
        pixels = pixels[..., ::-1]
    if how.dtype.kind not in "iu":
        mean, std = (np.array(figures, dtype=np.float32) for figures in (how.mean, how.std))
        pixels = (pixels.astype(np.float32) * np.float32(how.scale) - mean) / std
    if how.layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=how.dtype)


def _framed(image: Image.Image, how: Preparation) -> Image.Image:
    """Returns the part of an image that the model sees, in as many pixels."""
    if how.share is not None:
        image = middle(image, (how.height, how.width), how.share)
    if isinstance(how.resize, int):
        image = shorter_side(image, how.resize, how.resample)
    elif how.resize is not None:
        image = resized(image, how.resize, how.resample)
    return image if how.crop is None else centre(image, how.crop)


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
    spec: InputSpec,
    config: DataConfig,
    framing: Processor | None,
    fixed: tuple[int | None, int | None],
) -> tuple[int, int]:
    """Returns height and width: from --image-size, else the preprocessor, else the model."""
    where = f"input {spec.name!r} {shape_text(spec.shape)}"
    source = "--image-size" if config.image_size else "the preprocessor"
    height, width = config.image_size or (framing and framing.size) or fixed
    if height is None or width is None:
        raise UsageError(f"{where}: height and width are open in the model; give --image-size")
    for given, size in zip((height, width), fixed, strict=True):
        if size not in (None, given):
            raise UsageError(
                f"{source} {height} {width} contradicts {where}; leave it out, "
                "or give the size of the model"
            )
    return height, width


def _figures(
    spec: InputSpec, config: DataConfig, processor: Processor | None, channels: int
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Returns scale, mean and std.

    Raises:
        DataError: the element type holds no pixels.
        UsageError: there is not one figure a channel, or scaling would destroy whole numbers.
    """
    scale, mean, std = config.scale, config.mean, config.std
    if processor is not None:
        scale = processor.scale if scale is None else scale
        mean = processor.mean if mean is None else mean
        std = processor.std if std is None else std
    for option, figures in (("--mean", mean), ("--std", std)):
        if figures is not None and len(figures) not in (1, channels):
            raise UsageError(
                f"{option} has {len(figures)} figures, input {spec.name!r} {channels} channel(s); "
                "give one figure a channel, or one for all"
            )
    if spec.dtype.kind not in "fV":  # V: the float types that numpy itself does not know
        if spec.dtype.kind not in "iu" or np.iinfo(spec.dtype).max < _MAX_PIXEL:
            raise DataError(
                f"input {spec.name!r} is {spec.dtype}, which holds no pixels from 0 to 255; "
                "give its data as .npy or .npz"
            )
        if scale not in (None, 1) or mean is not None or std is not None:
            raise UsageError(
                f"input {spec.name!r} is {spec.dtype} and takes pixels as they are; "
                "leave --scale, --mean and --std out, and what a preprocessor says of them"
            )
    return 1 / _MAX_PIXEL if scale is None else scale, mean or (0.0,), std or (1.0,)


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
