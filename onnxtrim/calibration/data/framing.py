"""Which part of an image a model sees, and in how many pixels."""

from PIL import Image

__all__ = ["centre", "middle", "resized", "shorter_side"]


def shorter_side(image: Image.Image, length: int, resample: Image.Resampling) -> Image.Image:
    """Returns the image with a shorter side of `length`, the other in proportion, rounded down."""
    short, long = sorted(image.size)
    other = int(length * long / short)
    width, height = (length, other) if image.width <= image.height else (other, length)
    return resized(image, (height, width), resample)


def resized(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Returns the image in `size`, height and width.

    Pillow's filters widen with the reduction, so nothing aliases.
    """
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), resample)


def centre(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Returns the middle of the image in `size`, height and width; black where there is none."""
    height, width = size
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def middle(image: Image.Image, size: tuple[int, int], share: float) -> Image.Image:
    """Returns the middle of the image in the proportions of `size`: `share` of the largest such."""
    height, width = size
    scale = share * min(image.height / height, image.width / width)
    return centre(image, (max(1, round(scale * height)), max(1, round(scale * width))))
