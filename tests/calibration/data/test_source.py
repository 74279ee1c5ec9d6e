"""Which reader a source gets, and the one line for each source that none can read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from onnxtrim.calibration.data.arrays import ArrayData
from onnxtrim.calibration.data.dataset import Batch, InputSpec
from onnxtrim.calibration.data.images import ImageFolder
from onnxtrim.calibration.data.source import open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

IMAGE = InputSpec("image", np.dtype(np.float32), (None, 1, 2, 2))
VECTOR = InputSpec("vector", np.dtype(np.float32), (None, 4))
DIGITS = Path(__file__).parents[3] / "models" / "digits"


def refused(source: object, *specs: InputSpec) -> str:
    with pytest.raises(DataError) as caught:
        open_data(source, specs, DataConfig())  # type: ignore[arg-type]
    return str(caught.value)


def image(path: Path) -> Path:
    Image.fromarray(np.full((2, 2), 255, dtype=np.uint8)).save(path)
    return path


class TestKinds:
    """What each source becomes."""

    @pytest.mark.parametrize("kind", [Path, str])
    def test_a_folder_of_images(self, tmp_path: Path, kind: type) -> None:
        image(tmp_path / "a.PNG")
        (tmp_path / "notes.txt").write_text("ignored")
        data = open_data(kind(tmp_path), [IMAGE], DataConfig())
        assert isinstance(data, ImageFolder)
        assert next(data.batches(1)).inputs["image"].tolist() == [[[[1, 1], [1, 1]]]]

    def test_a_folder_of_arrays(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.ones(4))
        data = open_data(tmp_path, [VECTOR], DataConfig())
        assert isinstance(data, ArrayData)
        assert len(data) == 1

    @pytest.mark.parametrize("name", ["a.npy", "a.npz"])
    def test_a_file_of_arrays(self, tmp_path: Path, name: str) -> None:
        (np.save if name.endswith("y") else np.savez)(tmp_path / name, np.ones((3, 4)))
        assert len(open_data(tmp_path / name, [VECTOR], DataConfig())) == 3

    def test_arrays_in_memory(self) -> None:
        x = np.ones((3, 4))
        for source in (x, {"vector": x}, (x, [0, 1, 2])):
            data = open_data(source, [VECTOR], DataConfig(samples=2))
            assert (len(data), data.labelled) == (2, isinstance(source, tuple))

    def test_batches_that_are_yielded(self) -> None:
        batches = [(np.full((2, 4), n), [n, n]) for n in range(3)]
        for source in (batches, iter(batches)):
            data = open_data(source, [VECTOR], DataConfig())
            assert isinstance(data, ArrayData)
            assert (len(data), data.labelled) == (6, True)

    def test_a_list_is_batches_and_a_tuple_inputs_with_labels(self) -> None:
        x, y = np.zeros((2, 4)), np.array([0, 1])
        assert len(open_data([x, x], [VECTOR], DataConfig())) == 4
        assert open_data((x, y), [VECTOR], DataConfig()).labelled

    def test_a_folder_of_test_sets(self, tmp_path: Path) -> None:
        folder = tmp_path / "test_data_set_0"
        folder.mkdir()
        tensor = onnx.numpy_helper.from_array(np.ones((3, 4), np.float32), "vector")
        (folder / "input_0.pb").write_bytes(tensor.SerializeToString())
        for path in (tmp_path, folder):
            assert len(open_data(path, [VECTOR], DataConfig())) == 3

    def test_a_dataset_comes_back_as_it_is(self) -> None:
        own = _Own()
        assert open_data(own, [VECTOR], DataConfig(samples=1)) is own

    def test_labels_file_decides_which_files_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "list").mkdir()
        image(tmp_path / "elsewhere" / "a.png")
        (tmp_path / "list" / "labels.csv").write_text("../elsewhere/a.png,3\n")
        batch = next(open_data(tmp_path / "list", [IMAGE], DataConfig()).batches(1))
        assert batch.labels is not None
        assert batch.labels.tolist() == [3]

    def test_the_digits_of_this_repository(self) -> None:
        digit = InputSpec("image", np.dtype(np.float32), (None, 1, 28, 28))
        data = open_data(DIGITS, [digit], DataConfig(samples=20))
        (batch,) = data.batches(20)
        assert batch.inputs["image"].shape == (20, 1, 28, 28)
        assert batch.labels is not None
        assert set(batch.labels.tolist()) == set(range(10))


class _Own:
    """A dataset of somebody else's."""

    labelled = False
    fingerprint = "0" * 64

    def __len__(self) -> int:
        return 1

    def batches(self, size: int) -> Iterator[Batch]:
        yield Batch({"vector": np.ones((size, 4), dtype=np.float32)}, None, size)


class TestRefusals:
    """The one line for what cannot be read."""

    def test_missing_path(self, tmp_path: Path) -> None:
        path = tmp_path / "nothing"
        assert refused(path, IMAGE) == (
            f"{path}: does not exist; give a folder, or an .npy or .npz file"
        )

    def test_empty_folder(self, tmp_path: Path) -> None:
        assert refused(tmp_path, IMAGE) == (
            f"{tmp_path}: is empty; put images, .npy or .npz files into it"
        )

    def test_folder_without_data(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no data")
        assert refused(tmp_path, IMAGE) == (
            f"{tmp_path}: holds no image, .npy or .npz file; "
            "give the folder that does, or convert the data"
        )

    def test_images_and_arrays_together(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        np.save(tmp_path / "b.npy", np.ones(4))
        assert refused(tmp_path, IMAGE) == (
            f"{tmp_path}: holds both images (a.png) and arrays (b.npy); "
            "put them in folders of their own and give one"
        )

    def test_images_for_several_inputs(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        assert refused(tmp_path, IMAGE, VECTOR) == (
            f"{tmp_path}: holds images, but the model has the inputs image, vector; "
            "give .npz files with one array an input"
        )

    def test_images_for_an_input_that_takes_none(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        assert refused(tmp_path, VECTOR) == (
            "input 'vector' (N, 4) takes no images, which have 4 axes; "
            "give its data as .npy or .npz"
        )

    def test_a_single_image(self, tmp_path: Path) -> None:
        path = image(tmp_path / "a.png")
        assert refused(path, IMAGE) == (
            f"{path}: is a single image; give the folder that holds the images"
        )

    def test_unknown_file_type(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        path.write_bytes(b"")
        assert refused(path, IMAGE) == (
            f"{path}: is of no known type; "
            "give a folder of images, or a folder or file of .npy or .npz"
        )

    @pytest.mark.parametrize("source", [b"bytes", 3, None])
    def test_other_objects(self, source: object) -> None:
        assert refused(source, VECTOR) == (
            f"data: a {type(source).__name__} cannot be read; give a path, an array, "
            "a dict of arrays, (inputs, labels), or what yields such batches"
        )

    def test_a_model_without_inputs(self) -> None:
        assert refused(np.ones((1, 4))) == (
            "the model has no input, so data changes nothing; leave --data out"
        )
