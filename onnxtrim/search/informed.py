"""What trials need before units are chosen: what readers read, and few samples to judge by."""

from dataclasses import replace

import numpy as np

from onnxtrim.calibration import Dataset, Judge, Progress
from onnxtrim.calibration.data.dataset import divisible
from onnxtrim.calibration.tapped import second_moments
from onnxtrim.channels.ops import product_of
from onnxtrim.config import PruneConfig
from onnxtrim.search.trials import Bench

__all__ = ["informed"]

_MEASURED, _JUDGED = 1024, 128
"""Samples for moments, and for a glance at the outputs."""

_LEAST_FITTED, _MOST_FITTED, _FITTED_MACS = 32, 256, 10**10
"""Samples for a preview of compensation: as many as take so many multiply-accumulates."""


def informed(
    bench: Bench, data: Dataset | None, config: PruneConfig, progress: Progress | None
) -> Bench:
    """Returns a bench that compensates what it tries, where the result will be compensated too.

    Where it is not, there are few samples to judge by if the budget is shared by what they say.
    """
    if data is None or (config.compensate == "none" and config.allocate != "error"):
        return bench
    subject, reading = bench.subject, bench.reading
    judge = Judge(
        subject.model,
        _some(data, _JUDGED, offset=0.5),
        batch_size=reading.batch_size,
        threads=reading.threads,
    )
    fitted = _FITTED_MACS // max(subject.costs.now().macs, 1)
    some = _some(data, min(max(fitted, _LEAST_FITTED), _MOST_FITTED))
    bench = replace(bench, few=judge, some=some, grow=config.may_grow)
    if config.compensate in ("none", "mean"):
        return bench
    names = (read.tensor for group in bench.channel_map.groups for read in group.readers)
    products = [product_of(subject.model, name) for name in dict.fromkeys(names)]
    moments = second_moments(
        subject.model,
        [product for product in products if product is not None],
        data if config.lossless else _some(data, _MEASURED),
        batch_size=reading.batch_size,
        threads=reading.threads,
        seed=config.seed,
        progress=progress,
    )
    return replace(bench, moments=moments)


def _some(data: Dataset, count: int, offset: float = 0.0) -> Dataset:
    """Returns at most so many samples, evenly spread; all where data cannot be divided.

    `offset` says where in its stretch of the data each sample lies, from 0 to below 1.
    """
    if len(data) <= count or not divisible(data):
        return data
    return data.subset(((np.arange(count) + offset) * len(data) / count).astype(np.int64))
