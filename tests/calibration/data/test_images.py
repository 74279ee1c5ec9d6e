"""Folders of images: which files, in which order, with which labels."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxtrim.calibration.data.dataset import Dataset, InputSpec
from onnxtrim.calibration.data.images import ImageFolder
from onnxtrim.calibration.data.labels import spread
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError

PIXEL = InputSpec("image", np.dtype(np.uint8), (None, 1, 1, 1))


def fill(folder: Path, **values: int) -> Path:
    """Writes 1x1 images, by name with `__` for a slash; `.png` is added."""
    for name, value in values.items():
        draw(folder / (name.replace("__", "/") + ".png"), value)
    return folder


def draw(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((1, 1), value, dtype=np.uint8)).save(path)
    return path


def opened(folder: Path, samples: int | None = None) -> ImageFolder:
    return ImageFolder(folder, PIXEL, DataConfig(samples=samples))


def values(data: Dataset, size: int = 64) -> list[int]:
    """Returns the pixel of every image in order, with what every batch must satisfy checked."""
    found: list[int] = []
    for batch in data.batches(size):
        assert list(batch.inputs) == ["image"]
        assert batch.inputs["image"].shape == (batch.count, 1, 1, 1)
        assert batch.inputs["image"].dtype == np.uint8
        found += batch.inputs["image"].reshape(-1).tolist()
    assert len(found) == len(data)
    return found


def labels(data: Dataset, size: int = 64) -> list[int] | None:
    """Returns the label of every image in order, or None; `labelled` must agree."""
    found: list[npt.NDArray[np.int64]] = []
    for batch in data.batches(size):
        assert (batch.labels is not None) == data.labelled
        if batch.labels is not None:
            assert batch.labels.dtype == np.int64
            assert batch.labels.shape == (batch.count,)
            found.append(batch.labels)
    return np.concatenate(found).tolist() if found else None


class TestFiles:
    """Which files count, and in which order."""

    def test_sorted_by_name_and_unlabelled(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, b=2, a=1, c=3))
        assert (values(data), labels(data), data.labelled) == ([1, 2, 3], None, False)

    def test_every_suffix_in_any_case_counts_and_nothing_else(self, tmp_path: Path) -> None:
        suffixes = ["bmp", "gif", "jpeg", "jpg", "PGM", "Png", "ppm", "tif", "tiff", "webp"]
        for number, suffix in enumerate(suffixes):
            draw(tmp_path / f"{number}.{suffix}", 255)
        (tmp_path / "notes.txt").write_text("not an image")
        assert values(opened(tmp_path)) == [255] * len(suffixes)

    def test_hidden_files_and_folders_are_ignored(self, tmp_path: Path) -> None:
        fill(tmp_path, a=1)
        draw(tmp_path / ".b.png", 2)
        draw(tmp_path / ".cache" / "c.png", 3)
        assert values(opened(tmp_path)) == [1]

    def test_a_folder_that_links_to_itself_is_read_once(self, tmp_path: Path) -> None:
        fill(tmp_path, a=1)
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
        assert values(opened(tmp_path)) == [1]

    def test_links_are_followed(self, tmp_path: Path) -> None:
        fill(tmp_path, store__x__a=1, data__cat__b=2)
        (tmp_path / "data" / "dog").symlink_to(tmp_path / "store" / "x", target_is_directory=True)
        data = opened(tmp_path / "data")
        assert (values(data), labels(data)) == ([2, 1], [0, 1])

    def test_a_folder_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            opened(tmp_path / "gone")
        assert str(caught.value) == (
            f"{tmp_path / 'gone'}: cannot be read (No such file or directory); "
            "check that it is there and may be read"
        )

    def test_each_pass_decodes_anew(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, a=1, b=2))
        assert values(data) == [1, 2]
        draw(tmp_path / "b.png", 9)
        assert values(data) == [1, 9]

    def test_no_image_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            opened(tmp_path)
        assert str(caught.value) == f"{tmp_path}: holds no image; give a folder with images"

    def test_a_file_that_does_not_decode_is_named_when_it_is_read(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, a=1, b=2))
        (tmp_path / "b.png").write_bytes(b"broken")
        batches = data.batches(1)
        assert next(batches).count == 1
        with pytest.raises(DataError) as caught:
            next(batches)
        assert str(caught.value) == (
            f"{tmp_path / 'b.png'}: does not decode as an image; remove it or replace it"
        )

    def test_a_batch_size_of_zero_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="batch size 0: at least 1 is needed"):
            next(opened(fill(tmp_path, a=1)).batches(0))


class TestClassFolders:
    """Labels from sub-folders."""

    def test_integer_names_are_the_labels(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, **{"10__a": 1, "2__a": 2, "007__a": 3}))
        assert (values(data), labels(data)) == ([3, 1, 2], [7, 10, 2])

    def test_other_names_count_in_sorted_order(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, dog__b=1, cat__z=2, dog__a=3, **{"3__a": 4}))
        assert (values(data), labels(data)) == ([4, 2, 3, 1], [0, 1, 2, 2])

    def test_names_too_long_for_a_label_are_no_integers(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, **{"1__a": 1, "20240101123456789012__a": 2}))
        assert labels(data) == [0, 1]

    def test_deeper_images_belong_to_the_class_folder(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, dog__x__y__a=1, dog__b=2, cat__0__a=3))
        assert (values(data), labels(data)) == ([3, 2, 1], [0, 1, 1])

    def test_images_beside_class_folders_leave_all_unlabelled(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, dog__a=1, cat__a=2, b=3))
        assert (values(data), labels(data)) == ([3, 2, 1], None)

    def test_an_empty_class_would_shift_the_others(self, tmp_path: Path) -> None:
        fill(tmp_path, dog__a=1, bird__a=2)
        (tmp_path / "cat").mkdir()
        with pytest.raises(DataError) as caught:
            opened(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path / 'cat'}: is a class folder without a file to read; "
            "remove it, or fill it so that it counts as a class"
        )

    def test_an_empty_class_with_a_number_shifts_nothing(self, tmp_path: Path) -> None:
        fill(tmp_path, **{"0__a": 1, "2__a": 2})
        (tmp_path / "1").mkdir()
        assert labels(opened(tmp_path)) == [0, 2]


class TestLabelsFile:
    """Labels from labels.csv."""

    def listed(self, folder: Path, text: str) -> ImageFolder:
        fill(folder, a=1, b=2, sub__c=3)
        (folder / "labels.csv").write_text(text, encoding="utf-8")
        return opened(folder)

    @pytest.mark.parametrize(
        "text",
        [
            "sub/c.png,5\na.png,7\n",
            "\ufeffsub/c.png,5\na.png,7\n",
            "file,label\nsub/c.png,5\na.png,7",
            '\ufefffile,label\r\n\r\n a.png , 7\r\n"sub/c.png",+5\r\n',
        ],
    )
    def test_gives_files_and_labels_in_order_of_name(self, tmp_path: Path, text: str) -> None:
        data = self.listed(tmp_path, text)
        assert (values(data), labels(data)) == ([1, 3], [7, 5])

    def test_goes_before_class_folders(self, tmp_path: Path) -> None:
        fill(tmp_path, **{"0__a": 1, "1__a": 2})
        (tmp_path / "labels.csv").write_text("0/a.png,3\n1/a.png,4\n")
        assert labels(opened(tmp_path)) == [3, 4]

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("a.png,1\nb.png,dog\n", 2, "'b.png,dog' is no file and integer label"),
            ("a.png,dog\nb.png,1\n", 1, "'a.png,dog' is no file and integer label"),
            ("file,label\na.png,1.0\n", 2, "'a.png,1.0' is no file and integer label"),
            ("file,label\nname,label\n", 2, "'name,label' is no file and integer label"),
            ("a.png,1\n\nb.png\n", 3, "'b.png' is no file and integer label"),
            ("a.png,1,2\n", 1, "'a.png,1,2' is no file and integer label"),
            (",1\n", 1, "',1' is no file and integer label"),
            ("a.png,99999999999999999999\n", 1, "'a.png,99999999999999999999' is no file and"),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, text: str, line: int, message: str) -> None:
        with pytest.raises(DataError) as caught:
            self.listed(tmp_path, text)
        assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}, line {line}: {message}")
        assert str(caught.value).endswith("integer label; write it as file,label")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            self.listed(tmp_path, "a.png,1\nz.png,2\n")
        assert str(caught.value) == (
            f"{tmp_path / 'labels.csv'}, line 2: {tmp_path / 'z.png'} is missing; "
            "add the file, or remove the line"
        )

    def test_a_file_listed_twice_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            self.listed(tmp_path, "file,label\na.png,1\na.png,2\n")
        assert str(caught.value) == (
            f"{tmp_path / 'labels.csv'}, line 3: a.png is listed on line 2 already; "
            "remove one of the two"
        )

    @pytest.mark.parametrize("text", ["", "file,label\n"])
    def test_no_line_at_all_is_an_error(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(DataError) as caught:
            self.listed(tmp_path, text)
        assert str(caught.value) == (
            f"{tmp_path / 'labels.csv'}: lists no file; write one file,label a line, or remove it"
        )

    def test_other_encodings_are_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_bytes(b"\xe9.png,1\n")
        with pytest.raises(DataError, match=r"labels\.csv: cannot be read .*; save it as UTF-8"):
            opened(tmp_path)


class TestSamples:
    """Fewer samples than there are."""

    @pytest.mark.parametrize(
        ("samples", "expected"),
        [
            (1, [0]),
            (2, [0, 9]),
            (4, [0, 3, 6, 9]),
            (7, [0, 2, 3, 4, 6, 8, 9]),  # 1.5, 4.5 and 7.5 go to the even neighbour
            (10, list(range(10))),
            (99, list(range(10))),
            (None, list(range(10))),
        ],
    )
    def test_are_spread_over_the_sorted_files(
        self, tmp_path: Path, samples: int | None, expected: list[int]
    ) -> None:
        fill(tmp_path, **{str(number): number for number in range(10)})
        assert values(opened(tmp_path, samples)) == expected

    def test_see_every_class(self, tmp_path: Path) -> None:
        fill(tmp_path, **{f"{label}__{n}": n for label in range(5) for n in range(7)})
        assert labels(opened(tmp_path, 5)) == [0, 1, 2, 3, 4]

    @given(total=st.integers(1, 300), samples=st.integers(1, 300))
    def test_are_distinct_and_reach_both_ends(self, total: int, samples: int) -> None:
        chosen = spread(total, samples)
        assert len(chosen) == min(total, samples)
        assert (np.diff(chosen) >= 1).all()
        assert chosen[0] == 0
        assert chosen[-1] == (total - 1 if len(chosen) > 1 else 0)


class TestSkipping:
    """`--skip-bad`."""

    def skipping(self, folder: Path, samples: int | None = None) -> ImageFolder:
        return ImageFolder(folder, PIXEL, DataConfig(samples=samples, skip_bad=True))

    def test_bad_images_are_left_out_of_every_pass_and_named(self, tmp_path: Path) -> None:
        fill(tmp_path, **{f"{label}__{n}": 10 * label + n for label in range(2) for n in range(3)})
        bad = [tmp_path / "0" / "1.png", tmp_path / "1" / "2.png"]
        for path in bad:
            path.write_bytes(b"broken")
        data = self.skipping(tmp_path)
        assert data.skipped == tuple(map(str, bad))
        for size in (1, 3, 64):
            assert (values(data, size), labels(data, size)) == ([0, 2, 10, 11], [0, 0, 1, 1])

    def test_samples_are_chosen_before(self, tmp_path: Path) -> None:
        fill(tmp_path, **{str(number): number for number in range(10)})
        (tmp_path / "3.png").write_bytes(b"broken")
        (tmp_path / "4.png").write_bytes(b"is not even read")
        data = self.skipping(tmp_path, 4)
        assert (values(data), data.skipped) == ([0, 6, 9], (str(tmp_path / "3.png"),))

    def test_the_fingerprint_is_that_of_the_others(self, tmp_path: Path) -> None:
        fill(tmp_path, a=1, b=2)
        (tmp_path / "c.png").write_bytes(b"broken")
        found = self.skipping(tmp_path).fingerprint
        (tmp_path / "c.png").unlink()
        assert found == opened(tmp_path).fingerprint

    def test_nothing_is_skipped_unasked(self, tmp_path: Path) -> None:
        assert opened(fill(tmp_path, a=1)).skipped == ()

    def test_where_all_are_bad_the_first_is_named(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(b"broken")
        with pytest.raises(DataError, match=r"a\.png: does not decode as an image"):
            self.skipping(tmp_path)


class TestPreprocessor:
    """Where a preprocessor is found."""

    def values(self, folder: Path, preprocessor: Path | None = None) -> list[float]:
        spec = InputSpec("image", np.dtype(np.float32), (None, 1, 1, 1))
        config = DataConfig(preprocessor=None if preprocessor is None else str(preprocessor))
        (batch,) = ImageFolder(folder, spec, config).batches(64)
        found: list[float] = batch.inputs["image"].ravel().tolist()
        return found

    def test_in_the_folder_or_by_name(self, tmp_path: Path) -> None:
        folder = fill(tmp_path / "images", a=10, b=20)
        assert self.values(folder) == pytest.approx([10 / 255, 20 / 255])
        inside, named = folder / "preprocessor_config.json", tmp_path / "named.json"
        inside.write_text('{"rescale_factor": 0.5}')
        named.write_text('{"do_rescale": false}')
        assert self.values(folder) == [5, 10]
        assert self.values(folder, named) == [10, 20]

    def test_one_that_is_named_must_be_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.json: cannot be read as JSON"):
            self.values(fill(tmp_path, a=1), tmp_path / "gone.json")


class TestFingerprint:
    """What the fingerprint depends on."""

    def test_depends_on_names_sizes_labels_and_choice_only(self, tmp_path: Path) -> None:
        first = opened(fill(tmp_path / "one", **{"0__a": 1, "1__b": 2}))
        moved = opened(fill(tmp_path / "two", **{"0__a": 1, "1__b": 2}))
        assert first.fingerprint == moved.fingerprint
        others = [
            opened(fill(tmp_path / "three", **{"0__a": 1, "1__c": 2})),
            opened(fill(tmp_path / "four", **{"0__a": 1, "2__b": 2})),
            opened(tmp_path / "one", samples=1),
        ]
        (tmp_path / "one" / "labels.csv").write_text("0/a.png,5\n1/b.png,1\n")
        others.append(opened(tmp_path / "one"))
        assert len({first.fingerprint, *(data.fingerprint for data in others)}) == 5

    def test_a_file_that_is_gone_is_named(self, tmp_path: Path) -> None:
        data = opened(fill(tmp_path, a=1))
        (tmp_path / "a.png").unlink()
        with pytest.raises(DataError, match=r"a\.png: cannot be read .*; put it back"):
            _ = data.fingerprint


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    names = {f"{n % 3}__{n:02}": 10 * n for n in range(11)}
    return opened(fill(tmp_path_factory.mktemp("eleven"), **names))


@given(size=st.integers(1, 13))
def test_every_batch_size_gives_the_same_samples(eleven: ImageFolder, size: int) -> None:
    assert values(eleven, size) == [0, 30, 60, 90, 10, 40, 70, 100, 20, 50, 80]
    assert labels(eleven, size) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    counts = [batch.count for batch in eleven.batches(size)]
    assert counts == [size] * (11 // size) + ([11 % size] if 11 % size else [])
