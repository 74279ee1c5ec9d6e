"""Folders `test_data_set_*`: which files feed which input, as batches and as calls."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from onnxtrim.calibration.data.dataset import Dataset, InputSpec
from onnxtrim.calibration.data.source import open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

X = InputSpec("x", np.dtype(np.float32), (None, 2))
IDS = InputSpec("ids", np.dtype(np.int64), (None,))
RATE = InputSpec("rate", np.dtype(np.int64), ())


def tensor(path: Path, data: npt.ArrayLike, name: str = "", dtype: npt.DTypeLike = "f4") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(numpy_helper.from_array(np.asarray(data, dtype), name).SerializeToString())


def opened(folder: Path, *specs: InputSpec, skip_bad: bool = False) -> Dataset:
    return open_data(folder, specs or [X], DataConfig(skip_bad=skip_bad))


def rows(data: Dataset, size: int = 64) -> list[list[float]]:
    return [row for batch in data.batches(size) for row in batch.inputs["x"].tolist()]


def refused(folder: Path, *specs: InputSpec) -> str:
    with pytest.raises(DataError) as caught:
        list(opened(folder, *specs).batches(4))
    return str(caught.value)


class TestFolders:
    """Where the sets are, and in which order."""

    def test_sets_come_by_number_each_a_batch(self, tmp_path: Path) -> None:
        for number, first in ((10, 5.0), (2, 1.0), (0, 0.0)):
            folder = tmp_path / f"test_data_set_{number}"
            tensor(folder / "input_0.pb", [[first, 1], [first, 2]])
            tensor(folder / "output_0.pb", np.zeros((9, 9)))
        (tmp_path / "model.onnx").write_bytes(b"is not read")
        data = opened(tmp_path)
        assert (len(data), data.labelled) == (6, False)
        assert rows(data) == [[0, 1], [0, 2], [1, 1], [1, 2], [5, 1], [5, 2]]
        assert [batch.count for batch in data.batches(4)] == [4, 2]

    @pytest.mark.parametrize("name", ["test_data_set_3", "anything"])
    def test_one_set_may_be_given_by_itself(self, tmp_path: Path, name: str) -> None:
        tensor(tmp_path / name / "input_0.pb", [[1, 2]])
        assert rows(opened(tmp_path / name)) == [[1, 2]]

    def test_sets_beside_other_data_are_refused(self, tmp_path: Path) -> None:
        tensor(tmp_path / "test_data_set_0" / "input_0.pb", [[1, 2]])
        np.save(tmp_path / "a.npy", np.ones((1, 2)))
        assert refused(tmp_path) == (
            f"{tmp_path}: holds both arrays (a.npy) and test sets (test_data_set_0); "
            "put them in folders of their own and give one"
        )

    def test_the_fingerprint_is_that_of_names_and_sizes(self, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            tensor(tmp_path / folder / "test_data_set_0" / "input_0.pb", [[1, 2]])
        first = opened(tmp_path / "one").fingerprint
        assert first == opened(tmp_path / "two").fingerprint
        tensor(tmp_path / "two" / "test_data_set_0" / "input_0.pb", [[1, 2], [3, 4]])
        assert first != opened(tmp_path / "two").fingerprint


class TestInputs:
    """Which tensor feeds which input."""

    def test_names_decide(self, tmp_path: Path) -> None:
        tensor(tmp_path / "input_0.pb", [7, 8], "ids", np.int64)
        tensor(tmp_path / "input_1.pb", [[1, 2], [3, 4]], "x")
        (batch,) = opened(tmp_path, X, IDS).batches(9)
        assert batch.inputs["ids"].tolist() == [7, 8]
        assert batch.inputs["x"].tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize("names", [("", ""), ("input.1", "input.2"), ("", "ids"), ("x", "")])
    def test_else_the_order_does(self, tmp_path: Path, names: tuple[str, str]) -> None:
        tensor(tmp_path / "input_0.pb", [[1, 2], [3, 4]], names[0])
        tensor(tmp_path / "input_1.pb", [7, 8], names[1], np.int64)
        (batch,) = opened(tmp_path, X, IDS).batches(9)
        assert batch.inputs["ids"].tolist() == [7, 8]
        assert batch.inputs["x"].tolist() == [[1, 2], [3, 4]]

    def test_the_tenth_comes_after_the_second(self, tmp_path: Path) -> None:
        specs = [InputSpec(f"i{n}", np.dtype(np.float32), (None,)) for n in range(11)]
        for number in range(11):
            tensor(tmp_path / f"input_{number}.pb", [number])
        (batch,) = opened(tmp_path, *specs).batches(1)
        assert [batch.inputs[s.name].tolist() for s in specs] == [[n] for n in range(11)]

    @pytest.mark.parametrize(("specs", "names"), [([X, IDS], "x, ids"), ([X, IDS, RATE], "x, ids")])
    def test_their_number_must_be_right(
        self, tmp_path: Path, specs: list[InputSpec], names: str
    ) -> None:
        tensor(tmp_path / "input_0.pb", [[1, 2]])
        assert refused(tmp_path, *specs).startswith(
            f"{tmp_path}: holds 1 files input_*.pb, but the model has the inputs {names}"
        )

    def test_a_shape_that_does_not_fit_names_the_set(self, tmp_path: Path) -> None:
        tensor(tmp_path / "test_data_set_0" / "input_0.pb", [1, 2])
        assert refused(tmp_path) == (
            f"{tmp_path / 'test_data_set_0'}: input 'x' has shape (2,), the model expects (N, 2); "
            "reshape the data, with its samples on the first axis"
        )

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "test_data_set_0" / "input_0.pb"
        path.parent.mkdir()
        path.write_bytes(b"damaged")
        assert refused(tmp_path).startswith(f"{path}: cannot be read as a tensor (")


class TestCalls:
    """Sets for a model whose inputs share no batch axis."""

    def test_each_set_is_a_call(self, tmp_path: Path) -> None:
        for number in range(3):
            folder = tmp_path / f"test_data_set_{number}"
            tensor(folder / "input_0.pb", np.full((number + 1, 2), number))
            tensor(folder / "input_1.pb", 16000, dtype=np.int64)
        data = opened(tmp_path, X, RATE)
        assert len(data) == 3
        for number, batch in enumerate(data.batches(64)):
            assert batch.call
            assert batch.inputs["x"].tolist() == [[number, number]] * (number + 1)
            assert (batch.inputs["rate"].shape, batch.inputs["rate"].item()) == ((), 16000)


def test_bad_sets_are_skipped_by_name(tmp_path: Path) -> None:
    for number in range(3):
        tensor(tmp_path / f"test_data_set_{number}" / "input_0.pb", [[number, 1]])
    (tmp_path / "test_data_set_0" / "input_0.pb").write_bytes(b"damaged")
    tensor(tmp_path / "test_data_set_2" / "input_0.pb", [[np.nan, 1]])
    data = opened(tmp_path, skip_bad=True)
    assert rows(data) == [[1, 1]]
    assert data.skipped == (  # type: ignore[attr-defined]
        str(tmp_path / "test_data_set_0"),
        str(tmp_path / "test_data_set_2"),
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=4), size=st.integers(1, 25))
def test_every_split_into_sets_and_batches_gives_the_same_samples(
    shelf: Path, counts: list[int], size: int
) -> None:
    shutil.rmtree(shelf)
    expected = [[float(n), -float(n)] for n in range(sum(counts))]
    ends = np.cumsum(counts)
    for number, (count, end) in enumerate(zip(counts, ends, strict=True)):
        tensor(shelf / f"test_data_set_{number}" / "input_0.pb", expected[end - count : end])
    assert rows(opened(shelf), size) == expected
