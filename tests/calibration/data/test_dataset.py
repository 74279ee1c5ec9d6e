"""Batches: their rows, how they are divided and joined, and which models have any."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration.data.dataset import (
    Batch,
    InputSpec,
    batched,
    divisible,
    regrouped,
    skipped,
)


def batch(start: int, count: int, labelled: bool = True) -> Batch:
    """Returns the samples from `start` on: sample i is [i, -i], of class i."""
    x = np.arange(start, start + count)
    return Batch({"x": np.stack([x, -x], axis=1), "id": x}, x if labelled else None, count)


def call(rows: int) -> Batch:
    return Batch({"x": np.zeros((rows, 2)), "k": np.array(3)}, None, 1, call=True)


class TestBatch:
    """One batch."""

    def test_its_length_is_that_of_its_arrays(self) -> None:
        assert batch(0, 3).length == 3
        assert Batch({"x": np.zeros((4, 2))}, None, 3).length == 4

    def test_a_call_is_one_sample_however_long_its_arrays_are(self) -> None:
        assert (call(7).count, call(7).length) == (1, 1)

    @pytest.mark.parametrize("chosen", [slice(1, 3), np.array([1, 2])])
    def test_rows_take_their_labels_along(self, chosen: slice) -> None:
        part = batch(5, 4).rows(chosen)
        assert part.inputs["x"].tolist() == [[6, -6], [7, -7]]
        assert part.labels is not None
        assert (part.labels.tolist(), part.count) == ([6, 7], 2)
        assert batch(5, 4, labelled=False).rows(chosen).labels is None


class TestBatched:
    """Whether inputs share the batch on their first axis."""

    @pytest.mark.parametrize(
        ("shapes", "expected"),
        [
            ([(None, 3)], True),
            ([(4, 3)], True),
            ([(None, 3), (None,)], True),
            ([(4, 3), (4,)], True),
            ([()], False),
            ([(None, 3), ()], False),
            ([(None, 3), (4,)], False),
            ([(2, 3), (4,)], False),
            ([(None, None), (2, None, 128), ()], False),
        ],
    )
    def test_depends_on_the_first_sizes(
        self, shapes: list[tuple[int | None, ...]], expected: bool
    ) -> None:
        specs = [InputSpec(str(i), np.dtype(np.float32), s) for i, s in enumerate(shapes)]
        assert batched(specs) is expected


class TestRegrouped:
    """`regrouped`."""

    @given(counts=st.lists(st.integers(1, 9), max_size=8), size=st.integers(1, 30))
    def test_samples_stay_in_order_whatever_the_batches(self, counts: list[int], size: int) -> None:
        starts = np.cumsum([0, *counts])
        found = list(
            regrouped((batch(int(s), n) for s, n in zip(starts, counts, strict=False)), size)
        )
        total = sum(counts)
        expected = [size] * (total // size) + ([total % size] if total % size else [])
        assert [b.count for b in found] == expected
        joined = [int(i) for b in found for i in b.inputs["id"]]
        assert joined == [*range(total)]
        for b in found:
            assert b.labels is not None
            assert b.labels.tolist() == b.inputs["id"].tolist() == (-b.inputs["x"][:, 1]).tolist()

    def test_calls_pass_as_they_are(self) -> None:
        calls = [call(3), call(1), call(5)]
        assert [a is b for a, b in zip(regrouped(calls, 2), calls, strict=True)] == [True] * 3

    def test_no_more_is_read_than_a_batch_needs(self) -> None:
        read = []

        def batches() -> Iterator[Batch]:
            for start in range(0, 12, 3):
                read.append(start)
                yield batch(start, 3)

        assert next(regrouped(batches(), 4)).count == 4
        assert read == [0, 3]


class TestOthers:
    """What a Dataset of somebody else's may lack."""

    def test_is_told_without_a_look_at_properties(self) -> None:
        class Plain:
            """Cannot be divided."""

        class Able:
            """Can be, but computes its labels at a cost."""

            skipped = ("a.png",)

            @property
            def labels(self) -> None:
                raise AssertionError("was evaluated")

            def subset(self, indices: object) -> "Able":
                raise AssertionError(indices)

        assert not divisible(Plain())  # type: ignore[arg-type]
        assert divisible(Able())  # type: ignore[arg-type]
        assert skipped(Plain()) == ()  # type: ignore[arg-type]
        assert skipped(Able()) == ("a.png",)  # type: ignore[arg-type]
