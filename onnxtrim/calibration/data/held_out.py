"""Calibration data -> a part to measure on, and a part held out to judge by.

Of n samples, h = round(share n) are held out: the middles floor((k + 1/2) n / h), k < h, of h
stretches of one length. Where labels are known, samples are counted class by class, so that every
class with as many samples as a stretch is held out from, whatever the order.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch, Dataset, divisible, regrouped
from onnxtrim.errors import UsageError

__all__ = ["split"]


def split(data: Dataset, share: float = 0.2) -> tuple[Dataset, Dataset]:
    """Returns (measuring, held out): all samples, in their order, each in one of the two.

    The same data are split the same way each time. Of fewer than 1 / share samples, both are all.

    Raises:
        UsageError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UsageError(f"share {share}: the share held out lies between 0 and 1")
    total = len(data)
    stretches = min(round(share * total), total - 1)
    if total * share < 1:
        return data, data
    labels = data.labels if divisible(data) else None
    order = np.arange(total) if labels is None else np.argsort(labels, kind="stable")
    middles = (2 * np.arange(stretches) + 1) * total // (2 * stretches)
    held_out = np.zeros(total, dtype=bool)
    held_out[order[middles]] = True
    return _chosen(data, ~held_out), _chosen(data, held_out)


def _chosen(data: Dataset, mask: npt.NDArray[np.bool_]) -> Dataset:
    """Returns the samples of `data` where the mask is True."""
    return data.subset(np.flatnonzero(mask)) if divisible(data) else _Part(data, mask)


class _Part:
    """Some of the samples of a Dataset that cannot be divided, left out while it is read."""

    def __init__(self, data: Dataset, mask: npt.NDArray[np.bool_]) -> None:
        """Reads nothing."""
        self._data = data
        self._mask = mask

    @property
    def labelled(self) -> bool:
        """Whether every batch carries labels."""
        return self._data.labelled

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprint of the whole, and which of its samples these are."""
        return hashlib.sha256(self._data.fingerprint.encode() + self._mask.tobytes()).hexdigest()

    def __len__(self) -> int:
        """Returns the number of samples."""
        return int(self._mask.sum())

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields the samples in order, `size` at a time; the last batch may be smaller."""
        return regrouped(self._pieces(size), size)

    def _pieces(self, size: int) -> Iterator[Batch]:
        """Yields what is left of every batch of the whole."""
        start = 0
        for batch in self._data.batches(size):
            chosen = np.flatnonzero(self._mask[start : start + batch.count])
            start += batch.count
            if chosen.size == batch.count:
                yield batch
            elif chosen.size:
                yield batch.rows(chosen)
