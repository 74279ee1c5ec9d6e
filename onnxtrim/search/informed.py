"""What trials need before units are chosen: what readers read, and few samples to judge by."""

from dataclasses import replace

import numpy as np

from onnxtrim.calibration import Dataset, Judge, Progress, split
from onnxtrim.calibration.data.dataset import divisible
from onnxtrim.calibration.tapped import second_moments
from onnxtrim.channels.ops import product_of
from onnxtrim.config import PruneConfig
from onnxtrim.search.trials import Bench
from onnxtrim.surgery.best import HELD_OUT

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
    Those are others than what is fitted sees: a classifier that reads more features than there are
    samples fits these whatever it has lost.
    """
    if data is None or (config.compensate == "none" and config.allocate != "error"):
        return bench
    subject, reading = bench.subject, bench.reading
    fit, check = split(data, HELD_OUT)
    judge = Judge(
        subject.model,
        _some(check, _JUDGED),
        batch_size=reading.batch_size,
        threads=reading.threads,
    )
    fitted = _FITTED_MACS // max(subject.costs.now().macs, 1)
    some = _some(fit, min(max(fitted, _LEAST_FITTED), _MOST_FITTED))
    bench = replace(bench, few=judge, some=some, grow=config.may_grow)
    if config.compensate in ("none", "mean"):
        return bench
    names = (read.tensor for group in bench.channel_map.groups for read in group.readers)
    products = [product_of(subject.model, name) for name in dict.fromkeys(names)]
    moments = second_moments(
        subject.model,
        [product for product in products if product is not None],
        data if config.lossless else _some(fit, _MEASURED),
        batch_size=reading.batch_size,
        threads=reading.threads,
        seed=config.seed,
        progress=progress,
    )
    return replace(bench, moments=moments)


def _some(data: Dataset, count: int) -> Dataset:
    """Returns at most so many samples, evenly spread; all where data cannot be divided."""
    if len(data) <= count or not divisible(data):
        return data
    return data.subset((np.arange(count) * len(data) / count).astype(np.int64))
