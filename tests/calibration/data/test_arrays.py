"""Arrays in memory, in files and in folders: what is accepted, converted, refused."""

import hashlib
import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration.data.arrays import ArrayData
from onnxtrim.calibration.data.dataset import Batch, InputSpec
from onnxtrim.calibration.data.source import DataSource, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, UsageError


def spec(name: str, *shape: int | None, dtype: npt.DTypeLike = np.float32) -> InputSpec:
    return InputSpec(name, np.dtype(dtype), shape)


PAIR = [spec("x", None, 2)]
TWO = [spec("ids", None, None, dtype=np.int64), spec("mask", None, 3)]


def opened(
    source: DataSource, specs: list[InputSpec] | None = None, samples: int | None = None
) -> ArrayData:
    data = open_data(source, specs or PAIR, DataConfig(samples=samples))
    assert isinstance(data, ArrayData)
    return data


def joined(data: ArrayData, size: int = 64) -> Batch:
    """Returns all batches as one, with what each must satisfy checked."""
    batches = list(data.batches(size))
    for batch in batches:
        assert (batch.labels is not None) == data.labelled
        assert {array.shape[0] for array in batch.inputs.values()} == {batch.count}
        if batch.labels is not None:
            assert batch.labels.dtype == np.int64
            assert batch.labels.shape == (batch.count,)
    assert all(batch.count == size for batch in batches[:-1])
    assert 0 < batches[-1].count <= size
    labels = [batch.labels for batch in batches if batch.labels is not None]
    names = batches[0].inputs
    return Batch(
        {name: np.concatenate([b.inputs[name] for b in batches]) for name in names},
        np.concatenate(labels) if labels else None,
        sum(batch.count for batch in batches),
    )


def rows(data: ArrayData, name: str = "x") -> list[Any]:
    whole = joined(data)
    assert whole.count == len(data)
    result: list[Any] = whole.inputs[name].tolist()
    return result


def labels(data: ArrayData) -> list[int] | None:
    found = joined(data).labels
    return None if found is None else found.tolist()


def refused(source: DataSource, specs: list[InputSpec] | None = None) -> str:
    """Returns the message of the error that opening and reading `source` ends in."""
    with pytest.raises(DataError) as caught:
        list(opened(source, specs).batches(4))
    return str(caught.value)


def npy(path: Path, data: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.asarray(data, dtype=dtype))
    return path


def npz(path: Path, **arrays: npt.ArrayLike) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(path, **named)  # type: ignore[arg-type]  # no array is called allow_pickle
    return path


class TestMemory:
    """Arrays given in Python."""

    def test_a_bare_array_is_the_only_input(self) -> None:
        data = opened(np.array([[1, 2], [3, 4]], dtype=np.float32))
        assert (rows(data), labels(data), len(data)) == ([[1, 2], [3, 4]], None, 2)

    def test_a_dict_has_an_array_for_each_input(self) -> None:
        data = opened({"mask": np.eye(3), "ids": np.array([[1, 2], [3, 4], [5, 6]])}, TWO)
        assert rows(data, "ids") == [[1, 2], [3, 4], [5, 6]]
        assert rows(data, "mask") == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        assert list(next(data.batches(2)).inputs) == ["ids", "mask"]

    @pytest.mark.parametrize("y", [[7, 8], np.array([7, 8], dtype=np.uint8)])
    def test_a_tuple_adds_labels(self, y: npt.ArrayLike) -> None:
        data = opened((np.ones((2, 2)), y))
        assert (labels(data), data.labelled) == ([7, 8], True)

    def test_a_tuple_may_hold_a_dict(self) -> None:
        data = opened(({"x": np.ones((2, 2))}, [7, 8]))
        assert labels(data) == [7, 8]

    def test_labels_are_given_once(self) -> None:
        source = {"x": np.ones((2, 2)), "labels": np.array([7, 8])}
        assert labels(opened(source)) == [7, 8]
        assert refused((source, [7, 8])) == (
            "data: array 'labels' is no input of the model (x); remove it"
        )

    def test_batches_are_contiguous_whatever_the_source(self) -> None:
        source = np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1)
        result = next(opened(source, [spec("x", None, 4, 3)]).batches(2)).inputs["x"]
        assert result.flags.c_contiguous
        assert result.tolist() == source.tolist()

    def test_the_source_cannot_be_changed_through_a_batch(self) -> None:
        source = np.zeros((2, 2), dtype=np.float32)
        next(opened(source).batches(2)).inputs["x"][:] = 1
        assert source.tolist() == [[0, 0], [0, 0]]

    def test_other_tuples_are_refused(self) -> None:
        x = np.ones((2, 2))
        assert refused((x, x, x)) == ("data: is a tuple of 3; give (inputs, labels)")

    def test_ragged_lists_are_refused(self) -> None:
        message = refused({"x": [[1], [1, 2]]})
        assert message.startswith("data: 'x' is no array (")
        assert message.endswith("); give a numpy array")


class TestNames:
    """Which array feeds which input, and which one is the labels."""

    def test_the_name_of_a_lone_array_says_nothing(self, tmp_path: Path) -> None:
        for name in ("arr_0", "labels", "y"):
            assert rows(opened(npz(tmp_path / "a.npz", **{name: [[1.0, 2.0]]}))) == [[1, 2]]

    @pytest.mark.parametrize("name", ["labels", "y"])
    def test_labels_lie_beside_the_inputs(self, tmp_path: Path, name: str) -> None:
        path = npz(tmp_path / "a.npz", **{"any": np.ones((2, 2)), name: np.array([5, 6])})
        assert labels(opened(path)) == [5, 6]

    def test_an_input_of_that_name_is_no_label(self, tmp_path: Path) -> None:
        specs = [spec("x", None, 2), spec("y", None, dtype=np.int64)]
        path = npz(tmp_path / "a.npz", x=np.ones((2, 2)), y=[5, 6])
        assert (labels(opened(path, specs)), rows(opened(path, specs), "y")) == (None, [5, 6])
        path = npz(tmp_path / "b.npz", x=np.ones((2, 2)), y=[5, 6], labels=[3, 4])
        assert labels(opened(path, specs)) == [3, 4]

    def test_a_missing_input_is_named(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", ids=[[1]], masks=np.ones((1, 3)))
        assert refused(path, TWO) == (
            f"{path}: has no array for input 'mask', but ids, masks; "
            "name the arrays as the inputs of the model: ids, mask"
        )

    def test_an_array_too_many_is_named(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", x=np.ones((1, 2)), label=[1])
        assert refused(path) == (
            f"{path}: array 'label' is no input of the model (x); "
            "remove it, or name it 'labels' if that is what it holds"
        )

    def test_one_array_does_not_feed_two_inputs(self, tmp_path: Path) -> None:
        advice = "give an .npz (in Python, a dict) with one array an input"
        path = npy(tmp_path / "a.npy", [[1, 2]])
        problem = "is one array, but the model has the inputs ids, mask"
        assert refused(path, TWO) == f"{path}: {problem}; {advice}"
        assert refused(np.ones((1, 3)), TWO) == f"data: {problem}; {advice}"


class TestShapes:
    """Sizes, counts and labels against the inputs."""

    @pytest.mark.parametrize("shape", [(2, 3), (2,), (2, 2, 1), ()])
    def test_others_are_refused(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        path = npy(tmp_path / "a.npy", np.zeros(shape))
        assert refused(path) == (
            f"{path}: input 'x' has shape {shape}, the model expects (N, 2); "
            "reshape the data, with its samples on the first axis"
        )

    def test_open_sizes_take_any_and_a_fixed_batch_says_nothing(self) -> None:
        data = opened(np.ones((5, 7, 2)), [spec("x", 1, None, 2)])
        assert joined(data).inputs["x"].shape == (5, 7, 2)

    def test_inputs_must_agree_on_the_count(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", ids=[[1], [2]], mask=np.ones((3, 3)))
        assert refused(path, TWO) == (
            f"{path}: has 2 for 'ids', 3 for 'mask'; give every input the same number of samples"
        )

    def test_no_sample_is_refused(self, tmp_path: Path) -> None:
        path = npy(tmp_path / "a.npy", np.zeros((0, 2)))
        assert refused(path) == f"{path}: holds 0 samples; give at least one, or remove it"

    @pytest.mark.parametrize(
        ("y", "has"),
        [
            ([1, 2, 3], "int64 of shape (3,)"),
            ([[1], [2]], "int64 of shape (2, 1)"),
            ([1.0, 2.0], "float64 of shape (2,)"),
        ],
    )
    def test_labels_are_one_integer_a_sample(
        self, tmp_path: Path, y: npt.ArrayLike, has: str
    ) -> None:
        problem = f"labels are {has}; give one integer a sample, shape (2,)"
        assert refused((np.ones((2, 2)), y)) == f"data: {problem}"
        path = npz(tmp_path / "a.npz", x=np.ones((2, 2)), labels=y)
        assert refused(path) == f"{path}: {problem}"


class TestElementTypes:
    """Conversions, and the values that do not survive them."""

    @pytest.mark.parametrize(
        ("has", "wants"),
        [
            (np.float64, np.float32),
            (np.float32, np.float16),
            (np.float32, np.float64),
            (np.uint8, np.float32),
            (np.int64, np.float16),
            (np.bool_, np.float32),
            (np.float32, ml_dtypes.bfloat16),
            (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
            (">f4", np.float32),
            (np.int32, np.int64),
            (np.int64, np.int32),
            (np.uint8, np.int8),
            (np.bool_, np.int64),
            (np.bool_, np.bool_),
        ],
    )
    def test_are_converted_where_nothing_is_lost(
        self, has: npt.DTypeLike, wants: npt.DTypeLike
    ) -> None:
        data = opened(np.array([[0, 1]], dtype=has), [spec("x", None, 2, dtype=wants)])
        result = joined(data).inputs["x"]
        assert result.dtype == np.dtype(wants)
        assert result.astype(np.float64).tolist() == [[0, 1]]

    @pytest.mark.parametrize(
        ("has", "wants"),
        [
            (np.float32, np.int64),
            (np.float32, np.bool_),
            (np.int64, np.bool_),
            (np.complex64, np.float32),
            (np.complex64, np.int32),
            (np.dtype("U1"), np.float32),
            (np.dtype("S1"), np.int64),
            (np.dtype("O"), np.float32),
            (np.dtype("M8[s]"), np.int64),
            (np.float32, np.dtype("O")),
        ],
    )
    def test_others_are_refused(self, has: npt.DTypeLike, wants: npt.DTypeLike) -> None:
        has, wants = np.dtype(has), np.dtype(wants)
        assert refused(np.empty((1, 2), has), [spec("x", None, 2, dtype=wants)]) == (
            f"data: input 'x' has elements of {has}, the model expects {wants}; "
            f"convert the data to {wants}"
        )

    @pytest.mark.parametrize(
        ("value", "has", "wants"),
        [
            (2**31, np.int64, np.int32),
            (-(2**31) - 1, np.int64, np.int32),
            (-1, np.int8, np.uint64),
            (128, np.uint8, np.int8),
            (2**63, np.uint64, np.int64),
        ],
    )
    def test_integers_that_do_not_fit_are_named(
        self, value: int, has: npt.DTypeLike, wants: npt.DTypeLike
    ) -> None:
        array = np.zeros((5, 2), dtype=has)
        array[3, 1] = value
        assert refused(array, [spec("x", None, 2, dtype=wants)]) == (
            f"data: sample 3 of input 'x' has a value that {np.dtype(wants)} cannot hold; "
            "correct the sample or remove it"
        )

    @pytest.mark.parametrize(
        ("value", "wants"),
        [
            (np.nan, np.float32),
            (np.inf, np.float64),
            (-np.inf, ml_dtypes.bfloat16),
            (1e300, np.float32),  # too large for the type of the input
            (70000, np.float16),
        ],
    )
    def test_values_that_are_not_finite_are_named(
        self, tmp_path: Path, value: float, wants: npt.DTypeLike
    ) -> None:
        array = np.zeros((6, 2))
        array[4, 1] = value
        array[5, 0] = np.nan
        path = npy(tmp_path / "a.npy", array, np.float64)
        assert refused(path, [spec("x", None, 2, dtype=wants)]) == (
            f"{path}: sample 4 of input 'x' has NaN or infinity (as {np.dtype(wants)}); "
            "correct the sample or remove it"
        )


class TestFiles:
    """One file: .npy or .npz, whole or damaged."""

    def test_npy_is_memory_mapped(self, tmp_path: Path) -> None:
        million = 1_000_000
        npy(tmp_path / "a.npy", np.arange(2 * million).reshape(million, 2))  # 8 MB
        for source in (tmp_path / "a.npy", tmp_path):
            tracemalloc.start()
            result = rows(opened(source, samples=2))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert result == [[0, 1], [2 * million - 2, 2 * million - 1]]
            assert peak < million // 4

    def test_fortran_order_and_capital_suffixes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.NPY"
        with path.open("wb") as file:
            np.save(file, np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]))
        assert rows(opened(path)) == [[1, 2], [3, 4]]
        assert next(opened(path).batches(2)).inputs["x"].flags.c_contiguous

    def test_npz_may_be_compressed(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "a.npz", x=[[1.0, 2.0]], y=[3])
        data = opened(tmp_path / "a.npz")
        assert (rows(data), labels(data)) == ([[1, 2]], [3])

    def objects(self, path: Path) -> str:
        np.save(path, np.array([[{}, {}]], dtype=object), allow_pickle=True)
        return f"{path}: holds Python objects, which are never unpickled; save arrays of numbers"

    def test_objects_are_never_unpickled(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        message = self.objects(path)
        assert refused(path) == message
        assert refused(tmp_path) == message
        path = tmp_path / "b.npz"
        np.savez(path, x=np.array([[{}, {}]], dtype=object))
        assert refused(path) == message.replace("a.npy", "b.npz")
        np.savez(path, x=np.ones((1, 2)), labels=np.array([{}], dtype=object))
        assert refused(path) == message.replace("a.npy", "b.npz")

    @pytest.mark.parametrize("suffix", ["npy", "npz"])
    def test_a_pickle_is_never_unpickled(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(pickle.dumps(_Bomb()))
        assert refused(path).startswith(f"{path}: cannot be read as .{suffix} (")

    def test_objects_that_came_later_are_not_unpickled_either(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", x=np.ones((1, 2)))
        data = opened(tmp_path)
        np.savez(path, x=np.array([[_Bomb(), 1]], dtype=object))
        with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz \(Object arrays"):
            next(data.batches(1))

    @pytest.mark.parametrize("keep", [0, 5, 100, 130])
    def test_truncated_npy_is_named(self, tmp_path: Path, keep: int) -> None:
        path = npy(tmp_path / "a.npy", np.ones((4, 2)))
        path.write_bytes(path.read_bytes()[:keep])
        message = refused(path)
        assert message.startswith(f"{path}: cannot be read as .npy (")
        assert message.endswith("); save it again with np.save")
        assert refused(tmp_path) == message

    @pytest.mark.parametrize("keep", [0, 100, -1])
    def test_truncated_npz_is_named(self, tmp_path: Path, keep: int) -> None:
        path = npz(tmp_path / "a.npz", x=np.ones((4, 2)))
        path.write_bytes(path.read_bytes()[:keep])
        message = refused(path)
        assert message.startswith(f"{path}: cannot be read as .npz (")
        assert message.endswith("); save it again with np.savez")

    def test_damaged_values_are_named_while_reading(self, tmp_path: Path) -> None:
        values = np.zeros((4000, 2))  # more than is read to see the header
        values[-1] = 3
        path = npz(tmp_path / "a.npz", x=values)
        good, bad = np.float64(3).tobytes(), np.float64(5).tobytes()
        path.write_bytes(path.read_bytes().replace(good, bad))
        assert "Bad CRC-32" in refused(path)
        data = opened(tmp_path)
        with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz \(Bad CRC-32"):
            next(data.batches(1))

    def test_other_members_of_an_npz_are_refused(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", x=np.ones((1, 2)))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("readme.txt", "some text, no array")
        assert refused(path).startswith(f"{path}: cannot be read as .npz (")

    def test_an_npz_named_npy_is_refused(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, x=np.ones((1, 2)))
        path = tmp_path / "a.npy"
        path.write_bytes(buffer.getvalue())
        assert refused(path).startswith(f"{path}: cannot be read as .npy (")


class _Bomb:
    """What a pickle that is read would set off."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("was unpickled",))


class TestFolders:
    """Many files: samples, batches, labels."""

    def test_a_file_is_a_sample_or_a_batch_by_its_rank(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", [1, 1])
        npy(tmp_path / "b.npy", [[2, 2]])
        npy(tmp_path / "c.npy", [[3, 3], [4, 4], [5, 5]])
        npz(tmp_path / "d.npz", any=[6.0, 6.0])
        assert rows(opened(tmp_path)) == [[n, n] for n in range(1, 7)]

    def test_each_input_goes_by_its_own_rank(self, tmp_path: Path) -> None:
        npz(tmp_path / "a.npz", ids=[1, 2], mask=[[1.0, 2.0, 3.0]])
        data = opened(tmp_path, TWO)
        assert (rows(data, "ids"), rows(data, "mask")) == ([[1, 2]], [[1, 2, 3]])

    def test_several_inputs_need_npz(self, tmp_path: Path) -> None:
        path = npy(tmp_path / "a.npy", [1, 2, 3])
        assert refused(tmp_path, TWO) == (
            f"{path}: is one array, but the model has the inputs ids, mask; "
            "give an .npz (in Python, a dict) with one array an input"
        )

    def test_class_folders_label_every_sample(self, tmp_path: Path) -> None:
        npy(tmp_path / "cat" / "a.npy", [1, 1])
        npy(tmp_path / "dog" / "deep" / "a.npy", [[2, 2], [3, 3]])
        data = opened(tmp_path)
        assert (rows(data), labels(data)) == ([[1, 1], [2, 2], [3, 3]], [0, 1, 1])

    def test_files_beside_class_folders_leave_all_unlabelled(self, tmp_path: Path) -> None:
        npy(tmp_path / "cat" / "a.npy", [1, 1])
        npy(tmp_path / "b.npy", [2, 2])
        data = opened(tmp_path)
        assert (rows(data), labels(data)) == ([[2, 2], [1, 1]], None)

    def test_labels_file(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", [1, 1])
        npy(tmp_path / "b.npy", [2, 2])
        (tmp_path / "labels.csv").write_text("file,label\nb.npy,4\na.npy,5\n")
        assert labels(opened(tmp_path)) == [5, 4]

    def test_labels_in_the_files_go_first(self, tmp_path: Path) -> None:
        npz(tmp_path / "0" / "a.npz", x=[1.0, 1.0], labels=7)
        npz(tmp_path / "1" / "b.npz", x=[2.0, 2.0], labels=[8])
        npz(tmp_path / "1" / "c.npz", x=np.ones((2, 2)), y=[9, 10])
        assert labels(opened(tmp_path)) == [7, 8, 9, 10]

    def test_labels_in_some_files_only_are_refused(self, tmp_path: Path) -> None:
        first = npz(tmp_path / "a.npz", x=[1.0, 1.0], labels=7)
        second = npz(tmp_path / "b.npz", x=[1.0, 1.0])
        assert refused(tmp_path) == (
            f"{second}: has no labels, but {first} has; "
            "add them everywhere or remove them everywhere"
        )

    def test_a_file_that_does_not_fit_is_named_at_once(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", [1, 2])
        path = npy(tmp_path / "b.npy", [1, 2, 3])
        with pytest.raises(DataError) as caught:
            opened(tmp_path)
        assert str(caught.value) == (
            f"{path}: input 'x' has shape (3,), the model expects (N, 2); "
            "reshape the data, with its samples on the first axis"
        )

    def test_the_sample_of_an_error_counts_within_its_file(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", np.ones((3, 2)))
        path = npy(tmp_path / "b.npy", [[1.0, 1.0], [np.nan, 1.0]])
        assert refused(tmp_path).startswith(f"{path}: sample 1 of input 'x' has NaN or infinity")

    def test_a_file_that_is_gone_is_named(self, tmp_path: Path) -> None:
        path = npy(tmp_path / "a.npy", [1, 2])
        data = opened(tmp_path)
        path.unlink()
        with pytest.raises(DataError, match=r"a\.npy: cannot be read as \.npy"):
            next(data.batches(1))


class TestSamples:
    """Fewer samples than there are."""

    def test_are_spread_over_all_files(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", [[n, n] for n in range(6)])
        npy(tmp_path / "b.npy", [6, 6])
        npy(tmp_path / "c.npy", [[n, n] for n in range(7, 10)])
        assert [row[0] for row in rows(opened(tmp_path, samples=4))] == [0, 3, 6, 9]
        assert [row[0] for row in rows(opened(tmp_path, samples=2))] == [0, 9]

    def test_take_their_labels_along(self) -> None:
        x, y = np.ones((10, 2)), np.arange(10) * 10
        assert labels(opened((x, y), samples=4)) == [0, 30, 60, 90]

    def test_only_what_is_read_must_be_finite(self) -> None:
        x = np.array([[1, 1], [np.nan, 1], [2, 2]])
        assert rows(opened(x, samples=2)) == [[1, 1], [2, 2]]


class TestSkipping:
    """`--skip-bad`."""

    def skipping(self, folder: Path, samples: int | None = None) -> ArrayData:
        data = open_data(folder, PAIR, DataConfig(samples=samples, skip_bad=True))
        assert isinstance(data, ArrayData)
        return data

    def test_bad_files_are_left_out_whole_and_named(self, tmp_path: Path) -> None:
        npy(tmp_path / "0" / "a.npy", [[0, 0], [1, 1]])
        bad = [
            npy(tmp_path / "0" / "b.npy", [1, 2, 3]),
            tmp_path / "1" / "damaged.npy",
            npy(tmp_path / "1" / "nan.npy", np.array([[7, 7], [np.nan, 7]])),
        ]
        npy(tmp_path / "1" / "z.npy", [2, 2])
        bad[1].write_bytes(b"damaged")
        data = self.skipping(tmp_path)
        assert (rows(data), labels(data)) == ([[0, 0], [1, 1], [2, 2]], [0, 0, 1])
        assert data.skipped == tuple(map(str, bad))
        assert rows(data) == rows(data)
        assert len(data) == 3

    def test_values_that_are_not_read_may_be_bad(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", np.array([[0, 0], [np.nan, 1], [2, 2]]))
        data = self.skipping(tmp_path, 2)
        assert (rows(data), data.skipped) == ([[0, 0], [2, 2]], ())

    def test_where_all_are_bad_the_first_is_named(self, tmp_path: Path) -> None:
        npy(tmp_path / "a.npy", np.array([[np.nan, 0]]))
        npy(tmp_path / "b.npy", np.array([[np.nan, 0]]))
        with pytest.raises(DataError, match=r"a\.npy: sample 0 of input 'x' has NaN"):
            self.skipping(tmp_path)


class TestFingerprint:
    """What the fingerprint depends on."""

    def test_in_memory_is_that_of_the_arrays(self) -> None:
        x = np.arange(6000, dtype=np.float32).reshape(3000, 2)
        same = opened(x).fingerprint
        assert same == opened(np.asfortranarray(x)).fingerprint == opened({"x": x}).fingerprint
        assert len(bytes.fromhex(same)) == hashlib.sha256().digest_size
        changed = x.copy()
        changed[2999, 1] = -1
        others = [
            opened(changed),
            opened(x.astype(np.float64)),
            opened(x[:-1]),
            opened(x, samples=10),
            opened((x, np.zeros(3000, dtype=int))),
            opened((x, np.ones(3000, dtype=int))),
            opened(x, [spec("other", None, 2)]),
        ]
        assert len({same, *(data.fingerprint for data in others)}) == 8

    def test_of_files_is_that_of_names_and_sizes(self, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            npy(tmp_path / folder / "a.npy", [1, 2])
            npy(tmp_path / folder / "b.npy", [3, 4])
        same = opened(tmp_path / "one").fingerprint
        assert same == opened(tmp_path / "two").fingerprint
        single = opened(tmp_path / "one", samples=1).fingerprint
        npy(tmp_path / "two" / "b.npy", [[3, 4], [5, 6]])
        longer = opened(tmp_path / "two").fingerprint
        (tmp_path / "one" / "b.npy").rename(tmp_path / "one" / "c.npy")
        renamed = opened(tmp_path / "one").fingerprint
        large = npy(tmp_path / "large.npy", np.ones((9, 2)))
        parts = [opened(large, samples=samples).fingerprint for samples in (2, 3)]
        assert len({same, single, longer, renamed, *parts}) == 6


def test_a_batch_size_of_zero_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="batch size 0: at least 1 is needed"):
        next(opened(np.ones((1, 2))).batches(0))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    size=st.integers(1, 40),
    samples=st.none() | st.integers(1, 40),
)
def test_every_split_into_files_and_batches_gives_the_same_samples(
    shelf: Path, counts: list[int], size: int, samples: int | None
) -> None:
    total = sum(counts)
    ids = np.arange(2 * total).reshape(total, 2)
    mask, y = ids[:, :1].repeat(3, axis=1) / 2, ids[:, 1]
    for old in shelf.iterdir():
        old.unlink()
    ends = np.cumsum(counts)
    for number, (count, end) in enumerate(zip(counts, ends, strict=True)):
        part = slice(end - count, end)
        npz(shelf / f"{number}.npz", ids=ids[part], mask=mask[part], labels=y[part])
    whole = joined(opened(({"ids": ids, "mask": mask}, y), TWO, samples), total)
    pieces = joined(opened(shelf, TWO, samples), size)
    assert pieces.count == whole.count == min(total, samples or total)
    assert pieces.labels is not None
    assert whole.labels is not None
    assert pieces.labels.tolist() == whole.labels.tolist()
    for name in ("ids", "mask"):
        assert pieces.inputs[name].dtype == whole.inputs[name].dtype
        assert pieces.inputs[name].tolist() == whole.inputs[name].tolist()
    assert (whole.inputs["ids"][:, 1] == whole.labels).all()
    assert (whole.inputs["mask"] * 2 == whole.inputs["ids"][:, :1]).all()
