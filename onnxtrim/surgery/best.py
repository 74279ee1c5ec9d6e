"""What helps: ways of compensation tried out, and the best on held-out samples kept.

    none      the model as it was cut
    local     readers make good for what they lost, by moments of the original (`reconstruct.py`)
    linear    every product behind the cut is fitted to what the original makes (`compensate.py`)
    mean      of every output behind the cut, only mean and deviation are

Means are tried where nothing else helps. The best is that with the least error of the outputs,
relative to those of the original.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import onnx_ir as ir

from onnxtrim.calibration import Dataset, Judge, Progress, split
from onnxtrim.channels import Kept
from onnxtrim.surgery.compensate import Compensated, Fit, compensated

__all__ = ["HELD_OUT", "Compensation", "Trial", "helpful"]

HELD_OUT = 0.15
"""The share of the samples that nothing is fitted to, neither moments nor weights."""

Way = Literal["none", "local", "mean", "linear"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One way of compensation, and the error of the outputs that it leaves on held-out samples."""

    way: Way
    relative_error: float


@dataclass(frozen=True, slots=True)
class Compensation:
    """What was tried, and what was kept.

    Attributes:
        way: what was kept.
        trials: what was tried, that without compensation first.
        fits: how each product behind the cut got its weights: products by way.
        samples: how many samples it was fitted to.
        held_out: how many others it was judged by; 0 where these are the same.
    """

    way: Way
    trials: tuple[Trial, ...]
    fits: dict[str, tuple[str, ...]]
    samples: int
    held_out: int


def helpful(
    original: ir.Model,
    thinner: ir.Model,
    kept: Kept,
    data: Dataset,
    ways: Sequence[Fit],
    local: ir.Model | None = None,
    *,
    refresh: int = 1,
    grow: bool = True,
    batch_size: int = 64,
    threads: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[ir.Model, Compensation]:
    """Returns the cut model compensated in the way that helps most, or as it was.

    Args:
        original: the model before the cut.
        thinner: the model after it.
        kept: what the cut has left.
        data: samples, of which some are held out.
        ways: what to try, in this order, until something helps.
        local: the cut model whose readers make good for what they lost, where that is known.
        refresh: how many products are fitted in one pass over the data.
        grow: whether products may get a bias that have no place for one yet.
        batch_size: samples a run, where the model leaves it open.
        threads: threads of the runtime; 0 lets it choose.
        seed: of the positions that are looked at.
        progress: told how many products are done.
    """
    fit, check = split(data, HELD_OUT)
    judge = Judge(original, check, batch_size=batch_size, threads=threads)
    trials = [Trial("none", judge(thinner).relative_error)]
    best: list[tuple[Way, Compensated]] = [("none", Compensated(thinner, {}))]
    if local is not None:
        trials.append(Trial("local", judge(local).relative_error))
        best.append(("local", Compensated(local, {})))
    for way in ways:
        found = compensated(
            original,
            thinner,
            kept,
            fit,
            way,
            refresh=refresh,
            grow=grow,
            batch_size=batch_size,
            threads=threads,
            seed=seed,
            progress=progress,
        )
        trials.append(Trial(way, judge(found.model).relative_error))
        best.append((way, found))
        if trials[-1].relative_error < trials[0].relative_error:
            break
    least = min(range(len(trials)), key=lambda place: _order(trials[place].relative_error))
    kept_way, chosen = best[least]
    held_out = 0 if check is fit else len(check)
    return chosen.model, Compensation(kept_way, tuple(trials), _by_way(chosen), len(fit), held_out)


def _order(error: float) -> float:
    """Returns what errors are compared by; what is no number comes last."""
    return error if math.isfinite(error) else math.inf


def _by_way(found: Compensated) -> dict[str, tuple[str, ...]]:
    """Returns the products that got their weights in each way."""
    rows = found.fits.items()
    every = {fit: tuple(name for name, own in rows if own == fit) for fit in get_args(Fit)}
    return {fit: names for fit, names in every.items() if names}
