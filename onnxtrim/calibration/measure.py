"""Calibration data -> `Measurements`, streamed: only per-channel means leave the runtime.

    total[channel] = sum over rows of (mean of the row * elements of the row)        in float64

and every statistic is total / elements, or a sum of such. The runtime sees a batch piece by piece,
so that a tensor still lies in the cache when its statistics are taken.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset
from onnxtrim.calibration.data.feeding import input_specs, padded_batches
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.taps import Moment, TappedModel, with_taps
from onnxtrim.channels import Tap
from onnxtrim.errors import DataError
from onnxtrim.graph.edit import weight_bytes
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import dims

__all__ = ["Progress", "measure", "samples_at_once"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

_Key = tuple[str, int]

_COUNTS = ("above", "below")
_ELEMENT_BYTES = 4
_CACHE_BYTES = 1 << 20
"""What a core keeps at hand, on most machines."""


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
    piece = samples_at_once(model, taps, threads)
    with closing(padded_batches(data, specs, batch_size)) as batches:
        for batch in batches:
            totals.add([runner(part.inputs) for part in _pieces(batch, piece)], 1.0)
            length = batch.length
            if length > batch.count:
                last = {k: np.repeat(a[-1:], length, axis=0) for k, a in batch.inputs.items()}
                totals.add([runner(last)], -(length - batch.count) / length)
            done += batch.count
            if progress is not None:
                progress("measuring", done, len(data))
    return Measurements(totals.statistics(statistics), done, data.fingerprint)


def samples_at_once(model: ir.Model, taps: Sequence[Tap], threads: int) -> int | None:
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
    """Yields the rows of a batch, `size` at a time; a call, of length 1, stays whole."""
    if size is None or batch.length <= size:
        yield batch
        return
    for start in range(0, batch.length, size):
        yield batch.rows(slice(start, start + size))


class _Totals:
    """Sums of the tapped functions, channel by channel, and of the elements behind them."""

    def __init__(self, tapped: TappedModel) -> None:
        """Starts at zero."""
        self._readings = tapped.readings
        self._sums = {
            key: np.zeros((len(reading.moments), reading.channels))
            for key, reading in tapped.readings.items()
        }
        self._elements = dict.fromkeys(tapped.readings, 0.0)
        self._extents = {k: r.extent({}) for k, r in tapped.readings.items() if r.shape is None}

    def add(self, runs: Sequence[Arrays], share: float) -> None:
        """Adds `share` times what the pieces of a batch yield, which agree in all other sizes.

        Raises:
            DataError: it is infinite or undefined.
        """
        for key, reading in self._readings.items():
            rows = np.concatenate([np.atleast_2d(outputs[reading.output]) for outputs in runs])
            positions, covered = self._extents.get(key) or reading.extent(runs[0])
            sums = rows.sum(axis=0, dtype=np.float64).reshape(self._sums[key].shape) * covered
            if not np.isfinite(sums).all():
                raise DataError(
                    f"tensor {key[0]!r} is infinite or undefined on the calibration data; "
                    "check the preprocessing (--scale, --mean, --std)"
                )
            for moment, row in zip(reading.moments, sums, strict=True):
                if moment in _COUNTS:
                    np.rint(row, out=row)  # whole, whatever the windows made of it
            self._sums[key] += share * sums
            self._elements[key] += share * len(rows) * positions

    def statistics(
        self, statistics: Sequence[Statistic]
    ) -> dict[_Key, dict[Statistic, npt.NDArray[np.float64]]]:
        """Returns the `statistics` of everything added."""
        found = {}
        for key, reading in self._readings.items():
            sums = dict(zip(reading.moments, self._sums[key], strict=True))
            elements = self._elements[key]
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
