"""What calibration data is to the other rooms: batches of named arrays, with labels or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from onnxtrim.graph.runtime import Arrays

__all__ = ["Batch", "Dataset", "InputSpec"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the model: its name, element type, and sizes (None where open), batch first."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples: one array a model input, (count, ...) each, and (count,) labels if known."""

    inputs: Arrays
    labels: npt.NDArray[np.int64] | None
    count: int

    @property
    def length(self) -> int:
        """Returns the rows of the arrays: `count`, or more where a batch was filled up."""
        return max((len(a) for a in self.inputs.values() if a.ndim), default=self.count)


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
        """Yields all samples in order, `size` at a time; the last batch may be smaller."""
        ...
