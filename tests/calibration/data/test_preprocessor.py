"""`preprocessor_config.json`: what each file says, and the keys that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onnxtrim.calibration.data.preprocessor import Processor, read_processor
from onnxtrim.errors import DataError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def read(folder: Path, **content: Any) -> Processor:  # noqa: ANN401
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(content))
    return read_processor(path)


def refused(folder: Path, **content: Any) -> str:  # noqa: ANN401
    """Returns what is wrong with a file, without the name before it and the advice after it."""
    with pytest.raises(DataError) as caught:
        read(folder, **content)
    message = str(caught.value)
    start = f"{folder / 'preprocessor_config.json'}: "
    end = "; correct the file, or remove it and give --image-size, --crop, --scale, --mean and "
    assert message.startswith(start)
    assert message.endswith(f"{end}--std instead")
    return message.removeprefix(start).removesuffix(f"{end}--std instead")


class TestFiles:
    """Files as models have them."""

    def test_of_a_vision_transformer(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            do_normalize=True,
            do_rescale=True,
            do_resize=True,
            image_mean=[0.5, 0.5, 0.5],
            image_processor_type="ViTImageProcessor",
            image_std=[0.25, 0.5, 1],
            resample=2,
            rescale_factor=0.00392156862745098,
            size={"height": 224, "width": 192},
        )
        assert found == Processor(
            resize=(224, 192),
            crop=None,
            resample=BILINEAR,
            scale=1 / 255,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.5, 1.0),
        )
        assert found.size == (224, 192)

    def test_of_clip(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            crop_size={"height": 224, "width": 200},
            do_center_crop=True,
            do_convert_rgb=True,
            do_normalize=True,
            do_resize=True,
            feature_extractor_type="CLIPFeatureExtractor",
            image_mean=MEAN,
            image_processor_type="CLIPImageProcessor",
            image_std=STD,
            resample=3,
            size={"shortest_edge": 256},
        )
        assert (found.resize, found.crop, found.resample) == (256, (224, 200), BICUBIC)
        assert (found.scale, found.size) == (1 / 255, (224, 200))

    @pytest.mark.parametrize(
        ("kind", "resize"),
        [
            ("CLIPFeatureExtractor", 256),
            ("MobileNetV2ImageProcessor", 256),
            ("MobileNetV1ImageProcessorFast", 256),
            ("DeiTFeatureExtractor", (256, 256)),
            ("ViTImageProcessor", (256, 256)),
            (None, (256, 256)),
        ],
    )
    def test_a_lone_size_is_what_the_kind_says(
        self, tmp_path: Path, kind: str | None, resize: object
    ) -> None:
        found = read(
            tmp_path, feature_extractor_type=kind, size=256, crop_size=224, do_center_crop=True
        )
        assert (found.resize, found.crop) == (resize, (224, 224))

    def test_the_file_may_say_what_a_lone_size_is(self, tmp_path: Path) -> None:
        found = read(tmp_path, size=256, crop_size=224, default_to_square=False)
        assert found.resize == 256

    @pytest.mark.parametrize(
        ("size", "share", "resize", "crop"),
        [
            (224, 0.875, 256, (224, 224)),
            ({"shortest_edge": 224}, None, 256, (224, 224)),
            (288, 0.95, 303, (288, 288)),  # 303.2, rounded down
            (384, 0.875, (384, 384), None),
        ],
    )
    def test_of_a_convnext(
        self, tmp_path: Path, size: object, share: float | None, resize: object, crop: object
    ) -> None:
        kind = "ConvNextFeatureExtractor"
        found = read(tmp_path, feature_extractor_type=kind, size=size, crop_pct=share, resample=3)
        assert (found.resize, found.crop) == (resize, crop)

    def test_steps_that_are_switched_off_are_left_out(self, tmp_path: Path) -> None:
        off: dict[str, Any] = dict.fromkeys(
            ("do_resize", "do_center_crop", "do_rescale", "do_normalize"), False
        )
        figures = {"size": 9, "crop_size": 8, "image_mean": MEAN, "image_std": STD}
        assert read(tmp_path, **off, **figures) == Processor(None, None, BILINEAR, 1.0, None, None)

    def test_missing_and_null_keys_leave_their_step_out(self, tmp_path: Path) -> None:
        expected = Processor(None, None, BILINEAR, 1 / 255, None, None)
        assert read(tmp_path) == expected
        nothing = dict.fromkeys(("do_pad", "size", "crop_size", "do_resize", "size_divisor"))
        assert read(tmp_path, **nothing) == expected

    def test_figures_may_be_one_for_all(self, tmp_path: Path) -> None:
        found = read(tmp_path, image_mean=0.5, image_std=2)
        assert (found.mean, found.std) == ((0.5,), (2.0,))

    def test_nearest_is_a_filter_too(self, tmp_path: Path) -> None:
        assert read(tmp_path, resample=0).resample is Image.Resampling.NEAREST

    def test_keys_that_change_no_pixel_are_passed_over(self, tmp_path: Path) -> None:
        assert read(tmp_path, processor_class="Any", do_reduce_labels=True, do_pad=False) == read(
            tmp_path
        )


class TestRefusals:
    """Files that cannot be followed."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"do_pad": True}, "do_pad True is not supported"),
            ({"pad_size": {"height": 3}}, "pad_size {'height': 3} is not supported"),
            ({"rescale_offset": True}, "rescale_offset True is not supported"),
            ({"do_flip_channel_order": True}, "do_flip_channel_order True is not supported"),
            ({"crop_pct": 0.9, "size": 224}, "crop_pct is not supported for an unnamed processor"),
            (
                {"image_processor_type": "LevitImageProcessor"},
                "the steps of a LevitImageProcessor are not known",
            ),
            ({"do_resize": True}, "size is missing"),
            ({"do_center_crop": True}, "crop_size is missing"),
            ({"do_normalize": True, "image_std": STD}, "image_mean is missing"),
            ({"image_mean": MEAN}, "image_std is missing"),
            ({"size": -1}, "-1 is no size"),
            ({"size": 22.5}, "22.5 is no size"),
            ({"size": True}, "True is no size"),
            ({"size": {"longest_edge": 9}}, "{'longest_edge': 9} is no size"),
            ({"crop_size": {"shortest_edge": 9}}, "crop_size {'shortest_edge': 9} has no height"),
            (
                {"size": {"shortest_edge": 9}},
                "images resized by their shorter side and not cropped differ in size",
            ),
            ({"resample": 9}, "9 is not a valid Resampling"),
            ({"rescale_factor": "1/255"}, "'1/255' is no number"),
            ({"image_mean": ["a"], "image_std": [1]}, "'a' is no number"),
            ({"image_mean": [1], "image_std": [1, 0, 1]}, "image_mean and image_std take a figure"),
            (
                {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 1.5},
                "crop_pct 1.5 is no share",
            ),
            (
                {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_size": 9},
                "a ConvNext processor takes size.shortest_edge, and no crop_size",
            ),
        ],
        ids=str,
    )
    def test_name_the_key(self, tmp_path: Path, content: dict[str, Any], said: str) -> None:
        assert refused(tmp_path, **content).startswith(said)

    @pytest.mark.parametrize("text", ["", "{", "\xff", "no json"])
    def test_what_is_no_json(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "p.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError) as caught:
            read_processor(path)
        assert str(caught.value).startswith(f"{path}: cannot be read as JSON (")

    def test_what_is_no_object(self, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text("[1]")
        with pytest.raises(DataError, match=r"p\.json: it is no JSON object; correct"):
            read_processor(path)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="No such file"):
            read_processor(tmp_path / "p.json")
