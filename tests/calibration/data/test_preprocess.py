"""Pixels to input values: every figure below was computed by hand."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from onnxtrim.calibration.data.dataset import InputSpec
from onnxtrim.calibration.data.preprocess import image_array, preparation
from onnxtrim.calibration.data.preprocessor import Processor
from onnxtrim.config import Color, DataConfig
from onnxtrim.errors import DataError, UsageError

RED_BLUE = [[[255, 51, 0], [0, 102, 255]]]  # one row of two pixels
EXIF_ORIENTATION = 0x0112
NEAREST = Image.Resampling.NEAREST


def spec(*shape: int | None, dtype: npt.DTypeLike = np.float32) -> InputSpec:
    return InputSpec("image", np.dtype(dtype), shape)


def saved(
    folder: Path, pixels: npt.ArrayLike, name: str = "a.png", dtype: npt.DTypeLike = np.uint8
) -> Path:
    path = folder / name
    Image.fromarray(np.array(pixels, dtype=dtype)).save(path)
    return path


def read(path: Path, model_input: InputSpec, config: DataConfig | None = None) -> npt.NDArray[Any]:
    config = config or DataConfig()
    array = image_array(path, preparation(model_input, config))
    assert array.dtype == model_input.dtype
    return array


class TestGeometry:
    """Where channels, height and width are."""

    @pytest.mark.parametrize(
        ("shape", "config", "expected"),
        [
            ((None, 3, 4, 5), DataConfig(), (4, 5, 3, "nchw", "rgb")),
            ((8, 1, 4, 5), DataConfig(), (4, 5, 1, "nchw", "gray")),
            ((None, 4, 5, 3), DataConfig(), (4, 5, 3, "nhwc", "rgb")),
            ((1, 4, 5, 1), DataConfig(), (4, 5, 1, "nhwc", "gray")),
            ((1, None, None, 3), DataConfig((4, 5)), (4, 5, 3, "nhwc", "rgb")),
            ((1, 3, None, 5), DataConfig((4, 5)), (4, 5, 3, "nchw", "rgb")),
            ((1, 3, 4, 5), DataConfig((4, 5)), (4, 5, 3, "nchw", "rgb")),
            ((1, 3, 4, 5), DataConfig(color="bgr"), (4, 5, 3, "nchw", "bgr")),
            # Both positions could be the channels: the first wins, unless the layout is given.
            ((1, 3, 4, 1), DataConfig(), (4, 1, 3, "nchw", "rgb")),
            ((1, 3, 4, 1), DataConfig(layout="nhwc"), (3, 4, 1, "nhwc", "gray")),
            (
                (None, None, 4, 5),
                DataConfig(layout="nchw", color="gray"),
                (4, 5, 1, "nchw", "gray"),
            ),
            (
                (None, None, None, None),
                DataConfig((4, 5), layout="nhwc", color="bgr"),
                (4, 5, 3, "nhwc", "bgr"),
            ),
        ],
    )
    def test_comes_from_shape_and_options(
        self, shape: tuple[int | None, ...], config: DataConfig, expected: tuple[object, ...]
    ) -> None:
        how = preparation(spec(*shape), config)
        assert (how.height, how.width, how.channels, how.layout, how.color) == expected

    @pytest.mark.parametrize(
        ("shape", "config", "message"),
        [
            (
                (None, 3, None, 5),
                DataConfig(),
                "input 'image' (N, 3, ?, 5): height and width are open in the model; "
                "give --image-size",
            ),
            (
                (None, 3, 4, 5),
                DataConfig((4, 6)),
                "--image-size 4 6 contradicts input 'image' (N, 3, 4, 5); leave it out, "
                "or give the size of the model",
            ),
            (
                (None, 8, 4, 5),
                DataConfig(),
                "input 'image' (N, 8, 4, 5): 1 or 3 channels are neither in position 1 nor 3; "
                "give --layout and --color if it takes images, or else its data as .npy or .npz",
            ),
            (
                (None, 3, 4, 5),
                DataConfig(layout="nhwc"),
                "input 'image' (N, 3, 4, 5) has 5 channels as nhwc, an image 1 or 3; "
                "give another --layout, or the data as .npy or .npz",
            ),
            (
                (None, None, 4, 5),
                DataConfig(layout="nchw"),
                "input 'image' (N, ?, 4, 5): the channels are open in the model; give --color",
            ),
            (
                (None, 3, 4, 5),
                DataConfig(color="gray"),
                "--color gray has 1 channel(s), input 'image' (N, 3, 4, 5) has 3; "
                "give --color rgb or bgr",
            ),
            (
                (None, 1, 4, 5),
                DataConfig(color="rgb"),
                "--color rgb has 3 channel(s), input 'image' (N, 1, 4, 5) has 1; give --color gray",
            ),
            (
                (None, 3, 4, 5),
                DataConfig(mean=(0.5, 0.5)),
                "--mean has 2 figures, input 'image' 3 channel(s); "
                "give one figure a channel, or one for all",
            ),
            (
                (None, 1, 4, 5),
                DataConfig(std=(1.0, 1.0, 1.0)),
                "--std has 3 figures, input 'image' 1 channel(s); "
                "give one figure a channel, or one for all",
            ),
        ],
    )
    def test_options_that_do_not_fit_are_a_usage_error(
        self, shape: tuple[int | None, ...], config: DataConfig, message: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            preparation(spec(*shape), config)
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("shape", "text"), [((), "()"), ((None,), "(N)"), ((None, 10), "(N, 10)")]
    )
    def test_other_ranks_take_no_images(self, shape: tuple[int | None, ...], text: str) -> None:
        with pytest.raises(DataError) as caught:
            preparation(spec(*shape), DataConfig())
        assert str(caught.value) == (
            f"input 'image' {text} takes no images, which have 4 axes; "
            "give its data as .npy or .npz"
        )

    @pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.complex64])
    def test_element_types_without_room_for_a_pixel_take_no_images(
        self, dtype: npt.DTypeLike
    ) -> None:
        with pytest.raises(DataError) as caught:
            preparation(spec(None, 3, 4, 5, dtype=dtype), DataConfig())
        assert str(caught.value) == (
            f"input 'image' is {np.dtype(dtype)}, which holds no pixels from 0 to 255; "
            "give its data as .npy or .npz"
        )

    @pytest.mark.parametrize(
        "config", [DataConfig(scale=2.0), DataConfig(mean=(1.0,)), DataConfig(std=(2.0,))]
    )
    def test_integer_inputs_refuse_scaling(self, config: DataConfig) -> None:
        with pytest.raises(UsageError) as caught:
            preparation(spec(None, 3, 4, 5, dtype=np.uint8), config)
        assert str(caught.value) == (
            "input 'image' is uint8 and takes pixels as they are; "
            "leave --scale, --mean and --std out, and what a preprocessor says of them"
        )


class TestValues:
    """Pixels to values."""

    def test_scale_then_mean_then_std(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[0, 51], [102, 255]])
        config = DataConfig(mean=(0.5,), std=(0.25,))
        expected = [[[-2.0, -1.2], [-0.4, 2.0]]]  # 51 / 255 = 0.2
        np.testing.assert_allclose(read(path, spec(None, 1, 2, 2), config), expected, rtol=1e-6)

    def test_scale_is_free(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[0, 51], [102, 255]])
        config = DataConfig(scale=2.0, mean=(4.0,))
        assert read(path, spec(None, 1, 2, 2), config).tolist() == [[[-4, 98], [200, 506]]]

    def test_nchw(self, tmp_path: Path) -> None:
        array = read(saved(tmp_path, RED_BLUE), spec(None, 3, 1, 2))
        np.testing.assert_allclose(array, [[[1.0, 0.0]], [[0.2, 0.4]], [[0.0, 1.0]]], rtol=1e-6)
        assert array.flags.c_contiguous

    def test_nhwc(self, tmp_path: Path) -> None:
        array = read(saved(tmp_path, RED_BLUE), spec(None, 1, 2, 3), DataConfig(layout="nhwc"))
        np.testing.assert_allclose(array, [[[1.0, 0.2, 0.0], [0.0, 0.4, 1.0]]], rtol=1e-6)

    def test_bgr(self, tmp_path: Path) -> None:
        array = read(saved(tmp_path, RED_BLUE), spec(None, 3, 1, 2), DataConfig(color="bgr"))
        np.testing.assert_allclose(array, [[[0.0, 1.0]], [[0.2, 0.4]], [[1.0, 0.0]]], rtol=1e-6)

    @pytest.mark.parametrize(
        ("color", "expected"),
        [
            ("rgb", [[[2.5, 0.0]], [[0.0, 0.5]], [[-3.75, 1.25]]]),
            ("bgr", [[[0.0, 2.5]], [[0.0, 0.5]], [[1.25, -3.75]]]),
        ],
    )
    def test_mean_and_std_are_in_the_channel_order_of_the_model(
        self, tmp_path: Path, color: Color, expected: list[list[list[float]]]
    ) -> None:
        config = DataConfig(color=color, mean=(0.0, 0.2, 0.75), std=(0.4, 0.4, 0.2))
        array = read(saved(tmp_path, RED_BLUE), spec(None, 3, 1, 2), config)
        np.testing.assert_allclose(array, expected, atol=1e-6)

    def test_gray_files_fill_three_channels(self, tmp_path: Path) -> None:
        array = read(saved(tmp_path, [[0, 255]]), spec(None, 3, 1, 2))
        assert array.tolist() == [[[0, 1]], [[0, 1]], [[0, 1]]]

    def test_colour_files_become_luma(self, tmp_path: Path) -> None:
        array = read(saved(tmp_path, RED_BLUE), spec(None, 1, 1, 2, dtype=np.uint8))
        # 0.299 R + 0.587 G + 0.114 B, rounded: 76.2 + 29.9 = 106.2; 59.9 + 29.1 = 88.9
        assert array.tolist() == [[[106, 89]]]

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
    def test_cast_to_the_type_of_the_input(self, tmp_path: Path, dtype: npt.DTypeLike) -> None:
        array = read(saved(tmp_path, [[0, 255]]), spec(None, 1, 1, 2, dtype=dtype))
        assert array.astype(np.float64).tolist() == [[[0, 1]]]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
    def test_integer_inputs_get_raw_pixels(self, tmp_path: Path, dtype: npt.DTypeLike) -> None:
        array = read(saved(tmp_path, [[0, 51, 254]]), spec(None, 1, 1, 3, dtype=dtype))
        assert array.tolist() == [[[0, 51, 254]]]


class TestResize:
    """Other sizes than that of the model."""

    def test_equal_sizes_keep_every_pixel(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (5, 7))
        array = read(saved(tmp_path, pixels), spec(None, 1, 5, 7, dtype=np.uint8))
        assert array[0].tolist() == pixels.tolist()

    def test_height_comes_before_width(self, tmp_path: Path) -> None:
        path = saved(tmp_path, np.full((4, 4), 7))
        array = read(path, spec(None, 1, None, None, dtype=np.uint8), DataConfig((2, 3)))
        assert array.tolist() == [[[7, 7, 7], [7, 7, 7]]]

    def test_reduction_is_bilinear_with_antialias(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[0, 0, 0, 200]])
        # A triangle over all four: weights 0.625, 0.875, 0.875, 0.625; 200 * 0.625 / 3 = 41.7.
        assert read(path, spec(None, 1, 1, 1, dtype=np.uint8)).tolist() == [[[42]]]

    def test_enlargement_is_bilinear(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[0, 100]])
        assert read(path, spec(None, 1, 1, 4, dtype=np.uint8)).tolist() == [[[0, 25, 75, 100]]]


def framed(**options: Any) -> Processor:  # noqa: ANN401
    """Returns a preprocessor that leaves pixels as they are, but for `options`."""
    nothing: dict[str, Any] = {
        "resize": None, "crop": None, "resample": NEAREST, "scale": 1.0, "mean": None, "std": None,
    }  # fmt: skip
    return Processor(**{**nothing, **options})


class TestProcessor:
    """What a preprocessor says, and what goes before it."""

    def read(
        self,
        folder: Path,
        shape: tuple[int | None, ...],
        processor: Processor,
        config: DataConfig | None = None,
    ) -> list[Any]:
        path = saved(folder, [[0, 10, 20, 30, 40, 50, 60, 70]])
        how = preparation(spec(*shape), config or DataConfig(), processor)
        found: list[Any] = image_array(path, how).tolist()
        return found

    def test_resizes_to_a_size_then_crops_its_middle(self, tmp_path: Path) -> None:
        processor = framed(resize=(1, 4), crop=(1, 2))
        assert self.read(tmp_path, (1, 1, 1, 2), processor) == [[[30, 50]]]

    def test_resizes_the_shorter_side_then_crops(self, tmp_path: Path) -> None:
        processor = framed(resize=2, crop=(2, 2))
        assert self.read(tmp_path, (1, 1, 2, 2), processor) == [[[30, 40]] * 2]

    def test_crops_without_resizing(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, (1, 1, 1, 4), framed(crop=(1, 4))) == [[[20, 30, 40, 50]]]

    def test_has_the_filter(self, tmp_path: Path) -> None:
        processor = framed(resize=(1, 2), resample=Image.Resampling.BOX)
        assert self.read(tmp_path, (1, 1, 1, 2), processor) == [[[15, 55]]]

    def test_scales_and_normalises(self, tmp_path: Path) -> None:
        processor = framed(resize=(1, 2), scale=0.1, mean=(1.0,), std=(0.5,))
        assert self.read(tmp_path, (1, 1, 1, 2), processor) == [[[2, 10]]]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"scale": 1.0}, [38, 118]),  # (20 - 1) / 0.5 and (60 - 1) / 0.5
            ({"mean": (0.0,)}, [4, 12]),
            ({"std": (1.0,)}, [1, 5]),
        ],
    )
    def test_each_figure_gives_way_to_its_option(
        self, tmp_path: Path, options: dict[str, Any], expected: list[int]
    ) -> None:
        processor = framed(resize=(1, 2), scale=0.1, mean=(1.0,), std=(0.5,))
        found = self.read(tmp_path, (1, 1, 1, 2), processor, DataConfig(**options))
        np.testing.assert_allclose(found, [[expected]], rtol=1e-6)

    def test_the_model_gives_way_to_its_size_only_where_open(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, (1, 1, None, None), framed(crop=(1, 2))) == [[[30, 40]]]
        with pytest.raises(UsageError) as caught:
            self.read(tmp_path, (1, 1, 1, 4), framed(crop=(1, 2)))
        assert str(caught.value) == (
            "the preprocessor 1 2 contradicts input 'image' (N, 1, 1, 4); leave it out, "
            "or give the size of the model"
        )

    def test_image_size_replaces_all_of_its_framing(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, (1, 1, None, None), framed(crop=(1, 2)), DataConfig((1, 2)))
        assert found == [[[20, 60]]]

    def test_crop_does_too(self, tmp_path: Path) -> None:
        # A share of 0.5 in the proportions 1 : 8 is half a pixel by 4; a pixel at least stays.
        found = self.read(tmp_path, (1, 1, 1, 8), framed(crop=(1, 8)), DataConfig(crop=0.5))
        assert found == [[[20, 20, 30, 30, 40, 40, 50, 50]]]

    def test_an_image_of_another_size_is_named_where_nothing_resizes(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            self.read(tmp_path, (1, 1, 1, 4), framed())
        assert str(caught.value) == (
            f"{tmp_path / 'a.png'}: is 1 pixels high and 8 wide, the input 1 and 4, and the "
            "preprocessor resizes nothing; give --image-size"
        )

    def test_integer_inputs_take_one_that_leaves_pixels_alone(self) -> None:
        model_input = spec(1, 1, 1, 8, dtype=np.uint8)
        assert preparation(model_input, DataConfig(), framed()).dtype == np.uint8
        with pytest.raises(UsageError, match="takes pixels as they are"):
            preparation(model_input, DataConfig(), framed(scale=1 / 255))


class TestCrop:
    """`--crop` on its own."""

    def test_keeps_a_share_of_the_middle_then_resizes(self, tmp_path: Path) -> None:
        pixels = np.zeros((4, 8), dtype=np.uint8)
        pixels[1:3, 3:5] = [[10, 20], [30, 40]]
        array = read(
            saved(tmp_path, pixels), spec(1, 1, 2, 2, dtype=np.uint8), DataConfig(crop=0.5)
        )
        assert array.tolist() == [[[10, 20], [30, 40]]]

    def test_of_all_keeps_proportions(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[0, 10, 20, 0], [0, 30, 40, 0]])
        square = spec(1, 1, 2, 2, dtype=np.uint8)
        assert read(path, square, DataConfig(crop=1.0)).tolist() == [[[10, 20], [30, 40]]]
        assert read(path, square).tolist() != [[[10, 20], [30, 40]]], "squeezed"


class TestFiles:
    """What image files bring along."""

    @pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
    def test_sixteen_bits_are_scaled_not_clipped(self, tmp_path: Path, name: str) -> None:
        path = saved(tmp_path, [[0, 257], [1000, 65535]], name, np.uint16)
        array = read(path, spec(None, 1, 2, 2, dtype=np.uint8))
        assert array.tolist() == [[[0, 1], [4, 255]]]  # 1000 / 257 = 3.9
        coloured = read(path, spec(None, 3, 2, 2))
        assert coloured[2].tolist() == (array[0].astype(np.float32) * np.float32(1 / 255)).tolist()

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_pixels_of_unknown_range_are_refused(
        self, tmp_path: Path, dtype: npt.DTypeLike
    ) -> None:
        path = saved(tmp_path, [[0, 70000]], "a.tif", dtype)
        with pytest.raises(DataError) as caught:
            read(path, spec(None, 1, 1, 2))
        assert str(caught.value) == (
            f"{path}: has pixels of 32 bits, whose range is unknown; save it with 8 or 16 bits"
        )

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [(1, [[10, 20]]), (2, [[20, 10]]), (6, [[10], [20]]), (8, [[20], [10]])],
    )
    def test_exif_orientation_is_applied(
        self, tmp_path: Path, orientation: int, expected: list[list[int]]
    ) -> None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        path = tmp_path / "a.png"
        Image.fromarray(np.array([[10, 20]], dtype=np.uint8)).save(path, exif=exif)
        size = np.shape(expected)
        assert read(path, spec(None, 1, *size, dtype=np.uint8)).tolist() == [expected]

    def test_alpha_is_dropped(self, tmp_path: Path) -> None:
        path = saved(tmp_path, [[[255, 51, 0, 0], [0, 102, 255, 128]]])
        array = read(path, spec(None, 3, 1, 2, dtype=np.uint8))
        assert array.tolist() == [[[255, 0]], [[51, 102]], [[0, 255]]]

    def test_palettes_with_transparency_raise_no_warning(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array(RED_BLUE, dtype=np.uint8)).quantize(2)
        path = tmp_path / "a.png"
        image.save(path, transparency=bytes([0, 128]))
        array = read(path, spec(None, 3, 1, 2, dtype=np.uint8))
        assert array.tolist() == [[[255, 0]], [[51, 102]], [[0, 255]]]

    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
    def test_what_does_not_decode_is_named(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "broken.png"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(path, spec(None, 1, 2, 2))
        assert str(caught.value) == (
            f"{path}: does not decode as an image; remove it or replace it"
        )

    def test_truncated_files_do_not_decode(self, tmp_path: Path) -> None:
        path = saved(tmp_path, np.random.default_rng(0).integers(0, 256, (32, 32)))
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(DataError, match="does not decode as an image; remove it or replace"):
            read(path, spec(None, 1, 32, 32))
