"""Calibration data -> `Measurements`, streamed: only per-channel vectors leave the runtime."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.dataset import Dataset
from onnxtrim.calibration.feeding import input_specs, padded_batches
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.taps import TappedModel, with_taps
from onnxtrim.channels import Tap
from onnxtrim.errors import DataError
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Progress", "measure"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

_Key = tuple[str, int]


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
    runner = Runner(tapped.model, threads=threads)
    totals = _Totals(tapped)
    specs, done = input_specs(model), 0
    for batch in padded_batches(data, specs, batch_size):
        outputs = runner(batch.inputs)
        totals.add(outputs, 1.0)
        length = batch.length
        if length > batch.count:
            last = {k: np.repeat(a[-1:], length, axis=0) for k, a in batch.inputs.items()}
            totals.add(runner(last), -(length - batch.count) / length)
        done += batch.count
        if progress is not None:
            progress("measuring", done, len(data))
    return Measurements(totals.statistics(), done, data.fingerprint)


class _Totals:
    """Sums of the tapped functions, channel by channel, and of the elements behind them."""

    def __init__(self, tapped: TappedModel) -> None:
        """Starts at zero."""
        self._tapped = tapped
        self._sums: dict[tuple[_Key, Statistic], npt.NDArray[np.float64]] = {}
        self._elements: dict[_Key, float] = {}

    def add(self, outputs: Arrays, share: float) -> None:
        """Adds `share` times what one batch yields."""
        for key, names in self._tapped.means.items():
            count = share * float(outputs[self._tapped.sizes[key]])
            self._elements[key] = self._elements.get(key, 0.0) + count
            for statistic, name in names.items():
                mean = outputs[name].astype(np.float64)
                if not np.isfinite(mean).all():
                    raise DataError(
                        f"tensor {key[0]!r} is infinite or undefined on the calibration data; "
                        "check the preprocessing (--scale, --mean, --std)"
                    )
                total = self._sums.setdefault((key, statistic), np.zeros(mean.shape))
                total += mean * count

    def statistics(self) -> dict[_Key, dict[Statistic, npt.NDArray[np.float64]]]:
        """Returns the statistics of everything added."""
        found: dict[_Key, dict[Statistic, npt.NDArray[np.float64]]] = {}
        for (key, statistic), total in self._sums.items():
            mean = total / self._elements[key]
            value = np.clip(1.0 - mean, 0.0, 1.0) if statistic == "zeros" else mean
            found.setdefault(key, {})[statistic] = value
        return found
