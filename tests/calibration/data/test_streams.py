"""Batches that are yielded in Python: what each may be, and that every pass sees the same."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration.data.dataset import Dataset, InputSpec, skipped
from onnxtrim.calibration.data.source import open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

X = InputSpec("x", np.dtype(np.float32), (None, 2))
IDS = InputSpec("ids", np.dtype(np.int64), (None,))


def opened(source: Any, *specs: InputSpec, samples: int | None = None) -> Dataset:  # noqa: ANN401
    return open_data(source, specs or [X], DataConfig(samples=samples))


def firsts(data: Dataset, size: int = 3) -> list[int]:
    """Returns the first figure of every sample, with what a Dataset promises checked."""
    batches = list(data.batches(size))
    assert all(batch.count == size for batch in batches[:-1])
    assert all(batch.inputs["x"].dtype == np.float32 for batch in batches)
    found = [int(n) for batch in batches for n in batch.inputs["x"][:, 0]]
    assert len(found) == len(data)
    return found


def labels(data: Dataset) -> list[int]:
    return [int(n) for batch in data.batches(4) if batch.labels is not None for n in batch.labels]


def arrays(counts: Sequence[int]) -> list[npt.NDArray[np.float64]]:
    """Returns arrays of so many samples each; sample i of all is [i, 0]."""
    ends = np.cumsum(counts)
    return [
        np.stack([np.arange(end - n, end), np.zeros(n)], axis=1)
        for n, end in zip(counts, ends, strict=True)
    ]


class _Loader:
    """Yields batches in another order on every pass, as a loader that shuffles."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = batches
        self.passes = 0

    def __iter__(self) -> Iterator[Any]:
        turn = self.passes
        self.passes += 1
        return iter(self._batches[turn:] + self._batches[:turn])


class _Reader:
    """A calibration reader; it can be rewound or not."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Any:  # noqa: ANN401
        return next(self._batches, None)


class _Rewindable(_Reader):
    """A calibration reader that starts again."""

    def __init__(self, batches: list[Any]) -> None:
        super().__init__(batches)
        self._all = batches

    def rewind(self) -> None:
        self._batches = iter(self._all)


class _Tensor:
    """A tensor that has a gradient and lies on another device, until it is asked for neither."""

    def __init__(self, data: npt.ArrayLike, held: frozenset[str] = frozenset()) -> None:
        self._data = np.array(data)
        self._done = held

    def detach(self) -> "_Tensor":
        return _Tensor(self._data, self._done | {"detached"})

    def cpu(self) -> "_Tensor":
        return _Tensor(self._data, self._done | {"here"})

    def __array__(self, dtype: None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self._done != {"detached", "here"}:
            raise RuntimeError("call detach() and cpu() first")
        return self._data


KINDS: list[Callable[[list[Any]], Iterable[Any]]] = [
    list,
    iter,
    lambda batches: (batch for batch in batches),
    _Loader,
    _Reader,  # type: ignore[list-item]
    _Rewindable,  # type: ignore[list-item]
]


class TestElements:
    """What a batch may be."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda x: x,
            lambda x: {"x": x},
            lambda x: {"any": x},
            lambda x: [x],
            lambda x: (x,),
            lambda x: (x, None),
        ],
    )
    def test_an_array_or_a_dict(self, wrap: Callable[[Any], Any]) -> None:
        data = opened([wrap(x) for x in arrays([2, 3, 2])])
        assert (firsts(data), data.labelled) == ([*range(7)], False)

    @pytest.mark.parametrize("pair", [tuple, list])
    @pytest.mark.parametrize("dictionary", [False, True])
    def test_a_pair_with_labels(self, pair: type, dictionary: bool) -> None:
        batches = [
            pair(({"x": x} if dictionary else x, x[:, 0].astype(np.int32))) for x in arrays([2, 3])
        ]
        data = opened(batches)
        assert (firsts(data), labels(data)) == ([*range(5)], [*range(5)])

    def test_labels_may_be_in_the_dict(self) -> None:
        assert labels(opened([{"x": np.ones((2, 2)), "labels": [4, 5]}])) == [4, 5]

    def test_several_inputs(self) -> None:
        batches = [{"x": x, "ids": x[:, 0].astype(int)} for x in arrays([2, 3])]
        found = [b.inputs for b in opened(batches, X, IDS).batches(4)]
        assert [b["ids"].tolist() for b in found] == [[0, 1, 2, 3], [4]]

    def test_samples_without_a_batch_axis(self) -> None:
        data = opened([(np.array([n, 0.0]), n) for n in range(5)])
        assert (firsts(data), labels(data)) == ([*range(5)], [*range(5)])

    def test_tensors_that_must_be_detached(self) -> None:
        data = opened([(_Tensor([[3.0, 1.0], [4.0, 1.0]]), _Tensor([1, 2]))])
        assert (firsts(data), labels(data)) == ([3, 4], [1, 2])
        assert firsts(opened(_Tensor([[3.0, 1.0]]))) == [3]

    @pytest.mark.slow  # the import of torch
    def test_tensors_of_torch(self) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], requires_grad=True)
        y = torch.tensor([3, 4, 5])
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x.detach(), y), batch_size=2
        )
        for source in (loader, [(x, y)], (x, y)):
            data = opened(source)
            assert (firsts(data), labels(data)) == ([0, 1, 2], [3, 4, 5])
        assert firsts(opened(x)) == [0, 1, 2]
        assert firsts(opened(torch.utils.data.DataLoader(x.detach(), batch_size=2))) == [0, 1, 2]

    def test_the_reader_of_onnxruntime(self) -> None:
        quantization: Any = pytest.importorskip("onnxruntime.quantization")

        class Own(quantization.CalibrationDataReader):  # type: ignore[misc]
            """Yields two batches."""

            def __init__(self) -> None:
                self._batches = iter({"x": x} for x in arrays([2, 1]))

            def get_next(self) -> Any:  # noqa: ANN401
                return next(self._batches, None)

        assert firsts(opened(Own())) == [0, 1, 2]


class TestPasses:
    """Data are read again and again."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_pass_sees_the_same(self, kind: Callable[[list[Any]], Any]) -> None:
        data = opened(kind([{"x": x} for x in arrays([2, 3, 1])]))
        assert [firsts(data, size) for size in (1, 2, 64)] == [[*range(6)]] * 3
        assert len(bytes.fromhex(data.fingerprint)) == 32

    def test_a_loader_is_read_once(self) -> None:
        loader = _Loader(arrays([2, 3]))
        data = opened(loader)
        assert [firsts(data), firsts(data)] == [[*range(5)]] * 2
        assert loader.passes == 1

    def test_a_reader_starts_again_where_it_can(self) -> None:
        used = _Rewindable([{"x": x} for x in arrays([2, 3])])
        used.get_next()
        assert firsts(opened(used)) == [*range(5)]

    def test_a_buffer_may_be_filled_again(self) -> None:
        buffer = np.zeros((1, 2))

        def batches() -> Iterator[npt.NDArray[np.float64]]:
            for n in range(4):
                buffer[:] = n
                yield buffer

        assert firsts(opened(batches())) == [0, 1, 2, 3]

    def test_a_list_is_not_copied(self) -> None:
        x = np.zeros((3, 2), dtype=np.float32)
        data = opened([x])
        x[:, 0] = 7
        assert firsts(data) == [7, 7, 7]

    @given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=6), size=st.integers(1, 20))
    def test_batches_are_cut_anew(self, counts: list[int], size: int) -> None:
        data = opened(iter([(x, x[:, 0].astype(int)) for x in arrays(counts)]))
        assert firsts(data, size) == labels(data) == [*range(sum(counts))]


class TestSamples:
    """Fewer than there are."""

    def test_of_a_list_they_are_spread(self) -> None:
        assert firsts(opened(arrays([4, 4, 2]), samples=4)) == [0, 3, 6, 9]

    def test_of_a_stream_no_more_batches_are_read_than_hold_them(self) -> None:
        read = []

        def batches() -> Iterator[npt.NDArray[np.float64]]:
            for number in range(1_000_000):
                read.append(number)
                yield np.full((2, 2), number)

        assert firsts(opened(batches(), samples=4)) == [0, 0, 1, 1]
        assert read == [0, 1]


class TestRefusals:
    """The one line for what is no batch."""

    def refused(self, source: object) -> str:
        with pytest.raises(DataError) as caught:
            list(opened(source).batches(4))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize(("kind", "name"), [(list, "list"), (iter, "list_iterator")])
    def test_no_batch_at_all(self, kind: type, name: str) -> None:
        assert self.refused(kind([])) == (
            f"data: the {name} yields no batch; give one that is not used up"
        )

    def test_a_generator_that_is_used_up(self) -> None:
        batches = iter(arrays([2]))
        opened(batches)
        assert "yields no batch" in self.refused(batches)

    def test_a_batch_of_another_shape_is_numbered(self) -> None:
        assert self.refused([np.ones((2, 2)), np.ones((2, 3))]) == (
            "data, batch 1: input 'x' has shape (2, 3), the model expects (N, 2); "
            "reshape the data, with its samples on the first axis"
        )

    def test_numbers_are_no_batches(self) -> None:
        assert self.refused([1.0, 2.0]).startswith("data, batch 0: input 'x' has shape ()")

    def test_a_tuple_of_three(self) -> None:
        x = np.ones((2, 2))
        assert self.refused([(x, x, x)]) == (
            "data, batch 0: is a tuple of 3; give an array, a dict of arrays, or (inputs, labels)"
        )

    def test_what_is_no_array(self) -> None:
        assert self.refused([{"x": [[1, 2], [3]]}]).startswith("data, batch 0: 'x' is no array (")

    def test_labels_in_some_batches_only(self) -> None:
        x = np.ones((1, 2))
        assert self.refused([(x, [1]), x]) == (
            "data, batch 1: has no labels, but data, batch 0 has; "
            "add them everywhere or remove them everywhere"
        )

    def test_labels_that_are_no_classes(self) -> None:
        assert self.refused([(np.ones((2, 2)), [0.5, 1.0])]) == (
            "data, batch 0: labels are float64 of shape (2,); give one integer a sample, shape (2,)"
        )

    def test_a_value_that_is_not_finite(self) -> None:
        x = np.ones((3, 2))
        x[2, 1] = np.inf
        assert self.refused([np.ones((1, 2)), x]) == (
            "data, batch 1: sample 2 of input 'x' has NaN or infinity (as float32); "
            "correct the sample or remove it"
        )


def test_bad_batches_are_skipped_by_number() -> None:
    good, wide = arrays([2, 2]), np.ones((2, 3))
    infinite = np.full((1, 2), np.inf)
    data = open_data([good[0], wide, good[1], infinite], [X], DataConfig(skip_bad=True))
    assert firsts(data) == [0, 1, 2, 3]
    assert skipped(data) == ("data, batch 1", "data, batch 3")
