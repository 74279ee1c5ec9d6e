"""Calibration data -> `Measurements`, streamed: only per-channel means leave the runtime.

    total[channel] = sum over rows of (mean of the row * elements of the row)        in float64

and every statistic is total / elements, or a sum of such. The runtime sees a batch piece by piece,
so that a tensor still lies in the cache when its statistics are taken.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.dataset import Batch, Dataset
from onnxtrim.calibration.feeding import input_specs, padded_batches
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.taps import Moment, TappedModel, with_taps
from onnxtrim.channels import Tap
from onnxtrim.errors import DataError
from onnxtrim.graph.edit import weight_bytes
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import dims

__all__ = ["Progress", "measure"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

_Key = tuple[str, int]

_COUNTS = ("above", "below")
_ELEMENT_BYTES = 4
_CACHE_BYTES = 1 << 19
"""What a core keeps at hand on most machines, besides as much that is computed from it."""


def measure(
    model: ir.Model,
    taps: Sequence[Tap],
    statistics: Sequence[Statistic],
    data: Dataset,
    *,
    batch_size: int = 64,
    threads: int = 0,
    progress: Progress | None = None,
) -> Measurements:
    """Returns `statistics` of every channel at `taps` over all of `data`.

    Sums are float64. Each batch counts by its elements, so that the split into batches does not
    matter; a model with a fixed batch sees the remainder as a batch filled up with its last
    sample, whose share is taken out again by running that sample on its own.

    Raises:
        DataError: the model computes something infinite or undefined on the data.
    """
    tapped = with_taps(model, taps, statistics)
    if not tapped.readings:
        return Measurements({}, len(data), data.fingerprint)
    runner = Runner(tapped.model, threads=threads)
    totals = _Totals(tapped)
    specs, done = input_specs(model), 0
    piece = _samples_at_once(model, taps, threads)
    for batch in padded_batches(data, specs, batch_size):
        for part in _pieces(batch, piece):
            totals.add(runner(part.inputs), 1.0)
        length = batch.length
        if length > batch.count:
            last = {k: np.repeat(a[-1:], length, axis=0) for k, a in batch.inputs.items()}
            totals.add(runner(last), -(length - batch.count) / length)
        done += batch.count
        if progress is not None:
            progress("measuring", done, len(data))
    return Measurements(totals.statistics(statistics), done, data.fingerprint)


def _samples_at_once(model: ir.Model, taps: Sequence[Tap], threads: int) -> int | None:
    """Returns how many samples go through the runtime together; None where whole batches must.

    So few that each tapped tensor fits the cache, but so many that they outweigh the weights,
    which are read once a piece. Whole batches must where the samples are not known to lie on axis
    0 of all inputs and of every tensor that is tapped.
    """
    names = {tap.tensor for tap in taps}
    tapped = [v for node in model.graph for v in node.outputs if v.name in names]
    leading = {v.shape[0] if v.shape else None for v in (*model.graph.inputs, *tapped)}
    named = any(isinstance(d, ir.SymbolicDim) and d.value is not None for d in leading)
    sizes = [(dims(v) or ())[1:] for v in tapped]
    if len(leading) != 1 or not named or not sizes or any(None in rest for rest in sizes):
        return None
    sample = [_ELEMENT_BYTES * prod(d for d in rest if d is not None) for rest in sizes]
    fitting = (threads or os.cpu_count() or 1) * _CACHE_BYTES // max(sample)
    return max(1, fitting, -(-weight_bytes(model) // sum(sample)))


def _pieces(batch: Batch, size: int | None) -> Iterator[Batch]:
    """Yields the rows of a batch, `size` at a time; a call stays whole."""
    if size is None or batch.call or batch.length <= size:
        yield batch
        return
    for start in range(0, batch.length, size):
        yield batch.rows(slice(start, start + size))


class _Totals:
    """Sums of the tapped functions over everything run, one behind another in one array.

    All taps are added at once: they are many and small, so that calls cost more than figures.
    """

    def __init__(self, tapped: TappedModel) -> None:
        """Starts at zero."""
        self._keys, self._readings = list(tapped.readings), list(tapped.readings.values())
        self._widths = np.array([len(r.moments) * r.channels for r in self._readings])
        moments = [(m in _COUNTS, r.channels) for r in self._readings for m in r.moments]
        self._counts = np.repeat(*zip(*moments, strict=True))
        self._extents = [r.extent({}) if r.shape is None else None for r in self._readings]
        self._sums = np.zeros(self._widths.sum())
        self._elements = np.zeros(len(self._keys))

    def add(self, outputs: Arrays, share: float) -> None:
        """Adds `share` times what one run yields.

        Raises:
            DataError: it is infinite or undefined.
        """
        means = [np.atleast_2d(outputs[reading.output]) for reading in self._readings]
        pairs = zip(self._extents, self._readings, strict=True)
        positions, covered = np.array([known or r.extent(outputs) for known, r in pairs]).T
        rows = np.array([len(m) for m in means])
        sums = np.empty_like(self._sums)
        for count in set(rows):  # mostly one, the samples
            alike = np.concatenate([m for m in means if len(m) == count], axis=1)
            sums[np.repeat(rows == count, self._widths)] = alike.sum(axis=0, dtype=np.float64)
        sums *= np.repeat(covered, self._widths)
        np.rint(sums, out=sums, where=self._counts)  # whole, whatever the windows made of them
        self._require_finite(sums)
        self._sums += share * sums
        self._elements += share * rows * positions

    def statistics(
        self, statistics: Sequence[Statistic]
    ) -> dict[_Key, dict[Statistic, npt.NDArray[np.float64]]]:
        """Returns the `statistics` of everything added."""
        found = {}
        for key, reading, elements, part in self._parts(self._sums):
            sums = dict(zip(reading.moments, part, strict=True))
            found[key] = {name: _total(name, sums, elements) / elements for name in statistics}
        return found
def _total(
    statistic: Statistic, sums: Mapping[Moment, npt.NDArray[np.float64]], elements: float
) -> npt.NDArray[np.float64]:
    """Returns a statistic times `elements`; what is not among the `sums` is known (see `taps`)."""
    if statistic == "zeros":
        return np.clip(elements - sums["above"] - sums.get("below", 0.0), 0.0, elements)
    if statistic == "magnitude":
        return 2.0 * sums.get("positive", sums["mean"]) - sums["mean"]
    return sums[statistic]
