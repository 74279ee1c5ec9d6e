"""Which pixels stay: worked out by hand on images whose pixels say where they are."""

import numpy as np
import pytest
from PIL import Image

from onnxtrim.calibration.data.framing import centre, middle, resized, shorter_side

BILINEAR = Image.Resampling.BILINEAR


def grid(height: int, width: int) -> Image.Image:
    """Returns an image whose pixel in row r and column c is 10 r + c."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray((10 * rows + columns).astype(np.uint8))


def pixels(image: Image.Image) -> list[list[int]]:
    found: list[list[int]] = np.asarray(image).tolist()
    return found


class TestCentre:
    """`centre`."""

    def test_keeps_the_middle(self) -> None:
        assert pixels(centre(grid(4, 6), (2, 2))) == [[12, 13], [22, 23]]

    def test_an_odd_rest_is_longer_below_and_to_the_right(self) -> None:
        assert pixels(centre(grid(3, 5), (2, 2))) == [[1, 2], [11, 12]]

    def test_what_is_missing_is_black(self) -> None:
        # One row too few: half a row above, rounded up, none below.
        assert pixels(centre(grid(2, 4), (3, 2))) == [[0, 0], [1, 2], [11, 12]]


class TestMiddle:
    """`middle`."""

    def test_of_a_square_takes_the_shorter_side(self) -> None:
        assert middle(grid(8, 20), (5, 5), 1.0).size == (8, 8)

    def test_takes_a_share_of_that(self) -> None:
        # 0.5 of 4 is 2, from (4 - 2) // 2 = 1 and (6 - 2) // 2 = 2 on.
        assert pixels(middle(grid(4, 6), (9, 9), 0.5)) == [[12, 13], [22, 23]]

    def test_has_the_proportions_of_the_input(self) -> None:
        # Twice as wide as high: 10 wide would need 5 rows; there are 4, so 8 x 4.
        assert middle(grid(4, 10), (16, 32), 1.0).size == (8, 4)

    def test_keeps_a_pixel_at_least(self) -> None:
        assert middle(grid(3, 3), (7, 7), 0.01).size == (1, 1)


class TestSizes:
    """`shorter_side` and `resized`."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [((30, 45), (20, 30)), ((45, 30), (30, 20)), ((7, 10), (20, 28)), ((10, 10), (20, 20))],
    )
    def test_the_longer_side_follows_rounded_down(
        self, before: tuple[int, int], after: tuple[int, int]
    ) -> None:
        image = shorter_side(grid(*before), 20, BILINEAR)
        assert (image.height, image.width) == after

    def test_an_image_of_that_size_stays_as_it_is(self) -> None:
        image = grid(3, 4)
        assert resized(image, (3, 4), BILINEAR) is image

    def test_the_filter_is_the_one_asked_for(self) -> None:
        image = Image.fromarray(np.array([[0, 0, 0, 200]], dtype=np.uint8))
        # The mean of pairs; and the pixel in which the middle of a pair lies, the second.
        assert pixels(resized(image, (1, 2), Image.Resampling.BOX)) == [[0, 100]]
        assert pixels(resized(image, (1, 2), Image.Resampling.NEAREST)) == [[0, 200]]
