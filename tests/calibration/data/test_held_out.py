"""Two parts of the data that share no sample, between them lose none, and know every class."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxtrim.calibration.data.dataset import Batch, Dataset, InputSpec
from onnxtrim.calibration.data.held_out import split
from onnxtrim.calibration.data.images import ImageFolder
from onnxtrim.calibration.data.source import open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import UsageError

VECTOR = InputSpec("x", np.dtype(np.float32), (None, 2))


class _Foreign:
    """A Dataset of somebody else's, which cannot be divided: sample i is [i, -i]."""

    fingerprint = "f" * 64

    def __init__(self, labels: Sequence[int] | None, count: int) -> None:
        self.labelled = labels is not None
        self._labels = None if labels is None else np.array(labels)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def batches(self, size: int) -> Iterator[Batch]:
        x = np.arange(self._count, dtype=np.float32)
        for start in range(0, self._count, size):
            part = slice(start, start + size)
            rows = np.stack([x[part], -x[part]], axis=1)
            labels = None if self._labels is None else self._labels[part]
            yield Batch({"x": rows}, labels, len(rows))


class _Calls:
    """Calls of somebody else's: call i has an input of i + 1 rows."""

    labelled = False
    fingerprint = "c" * 64

    def __len__(self) -> int:
        return 10

    def batches(self, size: int) -> Iterator[Batch]:
        assert size
        for i in range(10):
            yield Batch({"x": np.zeros((i + 1, 2))}, None, 1, call=True)


def own(labels: Sequence[int] | None, count: int) -> Dataset:
    x = np.arange(count, dtype=np.float32)
    array = np.stack([x, -x], axis=1)
    return open_data(array if labels is None else (array, labels), [VECTOR], DataConfig())


def read(data: Dataset, size: int = 3) -> list[int]:
    """Returns which samples there are, with what every Dataset promises checked."""
    found: list[int] = []
    counts = []
    for batch in data.batches(size):
        x = batch.inputs["x"]
        assert len(x) == batch.count
        assert (x[:, 1] == -x[:, 0]).all()
        assert (batch.labels is not None) == data.labelled
        if batch.labels is not None:
            assert batch.labels.shape == (batch.count,)
        counts.append(batch.count)
        found += x[:, 0].astype(int).tolist()
    assert len(found) == len(data)
    assert counts[:-1] == [size] * (len(counts) - 1)
    assert 0 < counts[-1] <= size
    return found


def labels(data: Dataset) -> list[int]:
    return [int(n) for batch in data.batches(4) if batch.labels is not None for n in batch.labels]


KINDS = pytest.mark.parametrize("make", [own, _Foreign])


class TestChoice:
    """Which samples are held out."""

    @KINDS
    def test_every_fifth_from_the_middle_of_its_stretch(self, make: type[_Foreign]) -> None:
        measuring, held_out = split(make(None, 15))
        assert read(held_out) == [2, 7, 12]
        assert read(measuring) == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14]

    def test_a_rest_is_spread_too(self) -> None:
        # Two stretches of six: the middles are 3 and 9.
        assert read(split(own(None, 12))[1]) == [3, 9]

    @pytest.mark.parametrize(
        ("share", "expected"), [(0.5, [1, 3, 5, 7]), (0.25, [2, 6]), (0.9, [0, 1, 2, 4, 5, 6, 7])]
    )
    def test_any_share(self, share: float, expected: list[int]) -> None:
        assert read(split(own(None, 8), share)[1]) == expected

    @KINDS
    def test_of_classes_one_after_the_other_each_is_in_both(self, make: type[_Foreign]) -> None:
        for part in split(make(sorted([*range(10)] * 5), 50)):
            assert set(labels(part)) == set(range(10))

    def test_of_classes_in_turn_each_is_in_both(self) -> None:
        """Every fifth of classes 0..4 in turn would be one class only."""
        data = own([*range(5)] * 10, 50)
        measuring, held_out = split(data)
        assert sorted(labels(held_out)) == sorted([*range(5)] * 2)
        assert sorted(labels(measuring)) == sorted([*range(5)] * 8)
        assert read(held_out) == sorted(read(held_out))

    @pytest.mark.parametrize("count", [1, 4])
    def test_of_too_few_both_are_all(self, count: int) -> None:
        data = own(None, count)
        assert split(data) == (data, data)

    def test_five_are_enough(self) -> None:
        assert [read(part) for part in split(own(None, 5))] == [[0, 1, 3, 4], [2]]

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.2, float("nan")])
    def test_a_share_that_is_none_is_refused(self, share: float) -> None:
        with pytest.raises(UsageError, match=r"the share held out lies between 0 and 1"):
            split(own(None, 9), share)

    def test_calls_stay_whole(self) -> None:
        measuring, held_out = split(_Calls())
        assert [len(b.inputs["x"]) for b in held_out.batches(64)] == [3, 8]
        assert [len(b.inputs["x"]) for b in measuring.batches(64)] == [1, 2, 4, 5, 6, 7, 9, 10]
        assert all(b.call and b.count == 1 for b in measuring.batches(64))


class TestFingerprint:
    """What tells the parts apart."""

    @KINDS
    def test_each_part_has_its_own(self, make: type[_Foreign]) -> None:
        data = make(None, 20)
        parts = [*split(data), *split(data, 0.4)]
        assert len({data.fingerprint, *(part.fingerprint for part in parts)}) == 5
        again = [*split(make(None, 20)), *split(make(None, 20), 0.4)]
        assert [part.fingerprint for part in parts] == [part.fingerprint for part in again]


class TestImages:
    """Folders of images are divided by their files."""

    def test_only_the_images_chosen_are_decoded(self, tmp_path: Path) -> None:
        spec = InputSpec("image", np.dtype(np.uint8), (None, 1, 1, 1))
        for i in range(10):
            path = tmp_path / f"{i // 5}" / f"{i % 5}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((1, 1), i, dtype=np.uint8)).save(path)
        measuring, held_out = split(ImageFolder(tmp_path, spec, DataConfig()))
        (tmp_path / "0" / "0.png").write_bytes(b"broken")
        (batch,) = held_out.batches(9)
        assert (batch.inputs["image"].ravel().tolist(), labels(held_out)) == ([2, 7], [0, 1])
        assert len(measuring) == 8
        assert labels(ImageFolder(tmp_path / "1", spec, DataConfig())) == []


@given(
    count=st.integers(1, 60),
    share=st.floats(0.01, 0.99),
    size=st.integers(1, 70),
    classes=st.none() | st.integers(1, 7),
)
def test_every_sample_is_in_one_part_and_both_kinds_of_data_agree(
    count: int, share: float, size: int, classes: int | None
) -> None:
    y = None if classes is None else sorted(i % classes for i in range(count))
    parts = split(own(y, count), share)
    if count * share < 1:
        assert all(read(part, size) == [*range(count)] for part in parts)
        return
    measuring, held_out = (read(part, size) for part in parts)
    assert measuring
    assert held_out
    assert sorted(measuring + held_out) == [*range(count)]
    assert abs(len(held_out) - share * count) <= 1
    assert [read(part, size) for part in split(_Foreign(y, count), share)] == [measuring, held_out]


@given(data=st.data(), count=st.integers(2, 60))
def test_a_class_as_large_as_a_stretch_is_held_out_from(data: st.DataObject, count: int) -> None:
    y = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    share = data.draw(st.floats(1 / count, 0.5))
    _, held_out = split(own(y, count), share)
    stretch = int(np.ceil(count / len(held_out))) if len(held_out) < count else 1
    counts: npt.NDArray[np.int64] = np.bincount(y)
    assert {n for n, found in enumerate(counts) if found >= stretch} <= set(labels(held_out))
