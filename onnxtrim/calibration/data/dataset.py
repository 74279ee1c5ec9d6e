"""What calibration data is to the other rooms: batches of named arrays, with labels or not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeGuard

import numpy as np
import numpy.typing as npt

from onnxtrim.graph.runtime import Arrays

__all__ = [
    "Batch",
    "Dataset",
    "Divisible",
    "InputSpec",
    "batched",
    "divisible",
    "regrouped",
    "skipped",
]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the model: its name, element type, and sizes (None where open)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples: one array a model input, (count, ...) each, and (count,) labels if known.

    A `call` is one sample whose arrays, of whatever sizes, go into the model as they are: it is
    never divided, joined or filled up.
    """

    inputs: Arrays
    labels: npt.NDArray[np.int64] | None
    count: int
    call: bool = False

    @property
    def length(self) -> int:
        """Returns the rows of the arrays: `count`, or more where a batch was filled up."""
        if self.call:
            return self.count
        return max((len(a) for a in self.inputs.values() if a.ndim), default=self.count)

    def rows(self, chosen: slice | npt.NDArray[np.int64]) -> Self:
        """Returns the `chosen` samples of a batch that is no call."""
        inputs = {name: array[chosen] for name, array in self.inputs.items()}
        labels = None if self.labels is None else self.labels[chosen]
        return type(self)(inputs, labels, len(next(iter(inputs.values()))))


class Dataset(Protocol):
    """Samples that can be read any number of times, in the same order."""

    @property
    def labelled(self) -> bool:
        """Whether every batch carries labels."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what was read: names and sizes of files, or the arrays themselves."""
        ...

    def __len__(self) -> int:
        """Returns the number of samples."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all samples in order, `size` at a time; the last batch may be smaller.

        Calls come one at a time, whatever the size.
        """
        ...


class Divisible(Dataset, Protocol):
    """A Dataset that can leave samples out without reading them."""

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The labels of all samples, (samples,), if known."""
        ...

    def subset(self, indices: npt.NDArray[np.int64]) -> Self:
        """Returns the samples at `indices`, which rise."""
        ...


def batched(specs: Sequence[InputSpec]) -> bool:
    """Returns whether all inputs share the batch on their first axis; else data come as calls.

    They do where all first sizes are open, or fixed to one size. A scalar has no axis at all.
    """
    return all(spec.shape for spec in specs) and len({spec.shape[0] for spec in specs}) == 1


def divisible(data: Dataset) -> TypeGuard[Divisible]:
    """Returns whether `data` is Divisible; properties are not evaluated."""
    return all(hasattr(type(data), member) for member in ("labels", "subset"))


def skipped(data: Dataset) -> tuple[str, ...]:
    """Returns the names of what was left out of `data` because it could not be used."""
    names: tuple[str, ...] = getattr(data, "skipped", ())
    return names


def regrouped(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Yields the samples of `batches`, `size` at a time; the last batch may be smaller.

    A call passes as it is.
    """
    pieces: list[Batch] = []
    room = size
    for batch in batches:
        if batch.call:
            yield batch
            continue
        start = 0
        while start < batch.count:
            whole = not start and batch.count <= room
            piece = batch if whole else batch.rows(slice(start, start + room))
            pieces.append(piece)
            start += piece.count
            room -= piece.count
            if not room:
                yield _joined(pieces)
                pieces, room = [], size
    if pieces:
        yield _joined(pieces)


def _joined(pieces: Sequence[Batch]) -> Batch:
    """Returns several batches as one."""
    if len(pieces) == 1:
        return pieces[0]
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Batch(
        {name: np.concatenate([p.inputs[name] for p in pieces]) for name in pieces[0].inputs},
        np.concatenate(labels) if labels else None,
        sum(piece.count for piece in pieces),
    )
