"""Images, mirrored and shifted."""

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from onnxtrim.calibration import Batch, Dataset, InputSpec, open_data, split
from onnxtrim.config import DataConfig, Layout
from onnxtrim.errors import UsageError
from onnxtrim.finetune.augment import (
    Augmentation,
    augmentation_of,
    augmented,
    mirrored,
    shifted,
)
from onnxtrim.finetune.config import Augment, TuneConfig

FLOAT = np.dtype("f4")
IMAGES = InputSpec("x", FLOAT, (None, 3, 8, 8))

sides = st.integers(2, 9)
pictures = st.tuples(st.integers(1, 3), st.integers(1, 3), sides, sides).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 255))
)


def steps(draw: st.DataObject, count: int, side: int) -> npt.NDArray[np.int64]:
    """Returns steps along a side, each shorter than it."""
    return draw.draw(arrays(np.int64, count, elements=st.integers(1 - side, side - 1)))


def ramp(*shape: int) -> npt.NDArray[np.float32]:
    """Returns different figures everywhere."""
    return np.arange(np.prod(shape), dtype="f4").reshape(shape)


def changed(
    inputs: dict[str, npt.NDArray[np.float32]],
    how: tuple[bool, bool] = (True, True),
    *,
    layout: Literal["nchw", "nhwc"] = "nchw",
    seed: int = 0,
    epoch: int = 0,
    index: int = 0,
) -> Batch:
    """Returns a batch of images, changed; `how` is (flip, crop)."""
    count = len(next(iter(inputs.values())))
    batch = Batch(inputs, np.arange(count), count)
    flip, crop = how
    return augmented(
        batch, Augmentation(flip, crop, dict.fromkeys(inputs, layout), seed), epoch, index
    )


@given(pictures, st.data())
def test_a_flip_swaps_left_and_right_of_some_and_twice_is_the_identity(
    images: npt.NDArray[np.int64], draw: st.DataObject
) -> None:
    chosen = draw.draw(arrays(bool, len(images)))
    found = mirrored(images, chosen)
    for image, old, swapped in zip(found, images, chosen, strict=True):
        np.testing.assert_array_equal(image, np.flip(old, axis=2) if swapped else old)
    np.testing.assert_array_equal(mirrored(found, chosen), images)


@given(pictures, st.data())
def test_a_shift_is_a_part_of_the_picture_that_goes_on_as_in_a_mirror(
    images: npt.NDArray[np.int64], draw: st.DataObject
) -> None:
    count, _, height, width = images.shape
    down, right = steps(draw, count, height), steps(draw, count, width)
    found = shifted(images, down, right)
    assert found.shape == images.shape
    border = ((0, 0), (height - 1, height - 1), (width - 1, width - 1))
    for image, old, y, x in zip(found, images, down, right, strict=True):
        wide = np.pad(old, border, mode="reflect")
        top, left = height - 1 + y, width - 1 + x
        np.testing.assert_array_equal(image, wide[:, top : top + height, left : left + width])


@given(pictures)
def test_a_shift_by_nothing_is_the_identity(images: npt.NDArray[np.int64]) -> None:
    still = np.zeros(len(images), dtype=np.int64)
    np.testing.assert_array_equal(shifted(images, still, still), images)


def test_a_shift_by_one_worked_out_by_hand() -> None:
    image = np.array([[[[1, 2, 3], [4, 5, 6]]]])
    (found,) = shifted(image, np.array([1]), np.array([-1]))
    np.testing.assert_array_equal(found, [[[5, 4, 5], [2, 1, 2]]])


@pytest.mark.parametrize(
    ("side", "most"), [(1, 0), (2, 1), (8, 1), (11, 1), (12, 2), (20, 2), (21, 3), (32, 4)]
)
def test_steps_are_drawn_evenly_up_to_an_eighth_of_a_side(side: int, most: int) -> None:
    """A half is rounded to what is even. Rows and columns are drawn apart."""
    count = 4000
    picture = np.mgrid[:side, :32].astype("f4")
    found = changed({"x": np.broadcast_to(picture, (count, *picture.shape))}, (False, True))
    rows = np.abs(np.arange(-most, most + 1))
    columns = np.arange(-4, 5)
    # The first row tells how far its image went, but for the sign; column 16 tells it all.
    corners = found.inputs["x"][:, :, 0, 16] - [0, 16]
    for value, share in zip(*np.unique(rows, return_counts=True), strict=True):
        for column in columns:
            hits = np.mean((corners == [value, column]).all(axis=1))
            assert hits == pytest.approx(share / len(rows) / len(columns), abs=0.02)


def test_half_of_the_images_are_mirrored() -> None:
    images = ramp(2000, 1, 1, 2)
    found = changed({"x": images}, (True, False)).inputs["x"]
    swapped = (found == images[..., ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(found[~swapped], images[~swapped])
    assert abs(swapped.mean() - 0.5) < 0.056, "five standard deviations"


@pytest.mark.parametrize("how", [(True, False), (False, True), (True, True)])
def test_layouts_differ_in_nothing_but_the_place_of_the_channels(how: tuple[bool, bool]) -> None:
    images = ramp(6, 3, 16, 9)
    first = changed({"x": images}, how).inputs["x"]
    last = changed({"x": np.moveaxis(images, 1, 3)}, how, layout="nhwc").inputs["x"]
    np.testing.assert_array_equal(np.moveaxis(last, 3, 1), first)
    assert not np.array_equal(first, images)
    assert last.flags.c_contiguous
    assert last.dtype == np.float32


def test_a_batch_is_changed_alike_for_one_seed_epoch_and_index_and_else_in_another_way() -> None:
    images = {"x": ramp(16, 1, 16, 16)}
    first = changed(images, seed=3, epoch=2, index=1).inputs["x"]
    np.testing.assert_array_equal(first, changed(images, seed=3, epoch=2, index=1).inputs["x"])
    for seed, epoch, index in ((4, 2, 1), (3, 3, 1), (3, 2, 0)):
        other = changed(images, seed=seed, epoch=epoch, index=index).inputs["x"]
        assert not np.array_equal(first, other)


def test_labels_count_and_what_is_no_image_stay() -> None:
    images, table = ramp(5, 3, 8, 8), ramp(5, 4)
    batch = Batch({"x": images, "t": table}, np.arange(3), 3)
    found = augmented(batch, Augmentation(True, True, {"x": "nchw"}, 0), 0, 0)
    assert found.labels is batch.labels
    assert found.count == 3
    assert found.inputs["t"] is table
    assert list(found.inputs) == ["x", "t"]
    np.testing.assert_array_equal(images, ramp(5, 3, 8, 8))


def test_all_images_of_a_sample_are_moved_alike() -> None:
    images = ramp(20, 1, 16, 16)
    found = changed({"left": images, "right": images + 1}).inputs
    np.testing.assert_array_equal(found["right"], found["left"] + 1)
    assert not np.array_equal(found["left"], images)


def test_the_arrays_of_a_call_are_one_sample() -> None:
    frames = np.broadcast_to(ramp(1, 1, 8, 8), (30, 1, 8, 8))
    how = Augmentation(True, True, {"x": "nchw"}, 0)
    views = set()
    for index in range(8):
        found = augmented(Batch({"x": frames}, None, 1, call=True), how, 0, index).inputs["x"]
        np.testing.assert_array_equal(found, np.broadcast_to(found[:1], found.shape))
        views.add(found.tobytes())
    assert len(views) > 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with ten images."""
    path = tmp_path_factory.mktemp("images")
    for index in range(10):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(path / f"{index}.png")
    return path


class TestChoice:
    """What `--augment` comes to."""

    READING = DataConfig()

    def chosen(
        self,
        augment: Augment,
        data: Dataset,
        *specs: InputSpec,
        classes: bool = True,
        layout: Layout = "auto",
    ) -> Augmentation | None:
        config = TuneConfig(augment=augment, seed=7)
        return augmentation_of(
            config, DataConfig(layout=layout), specs or [IMAGES], data, classes=classes
        )

    @pytest.fixture
    def files(self, folder: Path) -> Dataset:
        return split(open_data(folder, [IMAGES], self.READING), 0.1)[0]

    @pytest.fixture
    def table(self) -> Dataset:
        return open_data(ramp(10, 3, 8, 8), [IMAGES], self.READING)

    def test_by_itself_it_crops_the_image_files_of_a_classifier_and_nothing_else(
        self, files: Dataset, table: Dataset
    ) -> None:
        crop = Augmentation(flip=False, crop=True, layouts={"x": "nchw"}, seed=7)
        assert self.chosen("auto", files) == crop
        assert self.chosen("auto", files, classes=False) is None
        assert self.chosen("auto", table) is None

    @pytest.mark.parametrize(
        ("asked", "flip", "crop"),
        [("flip", True, False), ("crop", False, True), ("flip+crop", True, True)],
    )
    @pytest.mark.parametrize("classes", [True, False])
    def test_what_is_asked_for_is_done(
        self, table: Dataset, asked: Augment, flip: bool, crop: bool, classes: bool
    ) -> None:
        found = self.chosen(asked, table, classes=classes)
        assert found == Augmentation(flip, crop, {"x": "nchw"}, 7)

    def test_none_is_none(self, files: Dataset) -> None:
        assert self.chosen("none", files) is None

    def test_only_inputs_that_take_images_are_changed(self, table: Dataset) -> None:
        last = InputSpec("last", FLOAT, (None, 8, 8, 1))
        others = [InputSpec("t", FLOAT, (None, 3)), InputSpec("many", FLOAT, (None, 4, 8, 8))]
        found = self.chosen("crop", table, *others, IMAGES, last)
        assert found is not None
        assert found.layouts == {"x": "nchw", "last": "nhwc"}

    def test_the_layout_makes_an_image_of_what_has_other_channels(self, table: Dataset) -> None:
        bands = InputSpec("bands", FLOAT, (None, 8, 8, 12))
        found = self.chosen("flip", table, bands, layout="nhwc")
        assert found is not None
        assert found.layouts == {"bands": "nhwc"}

    @pytest.mark.parametrize("shape", [(None, 3), (None, 2, 8, 8), (None, 3, 8, 8, 8)])
    def test_where_no_input_takes_images_it_is_refused(
        self, table: Dataset, shape: tuple[int | None, ...]
    ) -> None:
        with pytest.raises(UsageError) as caught:
            self.chosen("flip", table, InputSpec("t", FLOAT, shape))
        assert str(caught.value) == (
            "--augment flip: no input has 4 axes with 1 or 3 channels in position 1 or 3; give "
            "--layout if one takes images, or else --augment none"
        )
