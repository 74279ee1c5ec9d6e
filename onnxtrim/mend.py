"""A cut model -> one that makes good for what is gone, without training, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration import Dataset, Judge, Progress
from onnxtrim.calibration.moments import Moments
from onnxtrim.channels import Kept
from onnxtrim.config import Compensate, DataConfig, PruneConfig
from onnxtrim.errors import VerificationError
from onnxtrim.graph import infer_shapes
from onnxtrim.surgery.best import Compensation, Trial, helpful
from onnxtrim.surgery.compensate import Fit
from onnxtrim.surgery.reconstruct import reconstructed

__all__ = ["Mending", "mended", "mending_of"]

_SAME = 1e-5
"""The largest error of the outputs, relative to these, that counts as none."""

_WAYS: Mapping[Compensate, tuple[Fit, ...]] = {
    "auto": ("linear", "mean"),
    "linear": ("linear",),
    "mean": ("mean",),
    "none": (),
}


@dataclass(frozen=True, slots=True)
class Mending:
    """How a cut model is compensated.

    Attributes:
        data: the samples that it is fitted to.
        ways: what is tried, in this order.
        refresh: layers that are fitted in one pass over the data.
        grow: whether the file may grow by biases.
        seed: of the positions that are looked at.
        moments: of what readers read, by their weights, where that is known.
        lossless: only units went that never vary: what these are is folded into biases, and nothing
            else is done.
        promise: what the metric may lose, which the plan was chosen by with readers compensated by
            moments; None where it was not.
    """

    data: Dataset
    ways: tuple[Fit, ...]
    refresh: int = 1
    grow: bool = True
    seed: int = 0
    moments: Mapping[str, Moments] = field(default_factory=dict)
    lossless: bool = False
    promise: float | None = None


def mending_of(
    config: PruneConfig, data: Dataset | None, moments: Mapping[str, Moments]
) -> Mending | None:
    """Returns how a cut model is compensated; None where it is not, or there are no data."""
    ways = _WAYS[config.compensate]
    if data is None or not ways:
        return None
    return Mending(
        data,
        ways,
        config.refresh,
        config.may_grow,
        config.seed,
        moments,
        config.lossless,
        config.max_drop,
    )


def mended(
    original: ir.Model,
    thinner: ir.Model,
    kept: Kept,
    mending: Mending,
    reading: DataConfig,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> tuple[ir.Model, Compensation]:
    """Returns a cut model compensated, and how.

    Where a promise was made that the best way breaks, by the judge, it is the way that kept it.

    Raises:
        VerificationError: units that never vary were folded, and the outputs are not the same.
    """
    local = None
    if mending.moments:
        local = reconstructed(original, thinner, kept, mending.moments, grow=mending.grow)
    if mending.lossless:
        folded = infer_shapes(thinner if local is None else local)
        return folded, _proven_same(original, folded, mending, reading)
    model, found = helpful(
        original,
        thinner,
        kept,
        mending.data,
        mending.ways,
        local,
        refresh=mending.refresh,
        grow=mending.grow,
        batch_size=reading.batch_size,
        threads=reading.threads,
        seed=mending.seed,
        progress=progress,
    )
    if local is not None and _breaks(model, mending, judge):
        model, found = local, replace(found, way="local", fits={})
    return infer_shapes(model), found


def _breaks(model: ir.Model, mending: Mending, judge: Judge | None) -> bool:
    """Returns whether the metric of a model loses more than was promised."""
    if judge is None or mending.promise is None:
        return False
    return judge(model).metric.drop > mending.promise


def _proven_same(
    original: ir.Model, model: ir.Model, mending: Mending, reading: DataConfig
) -> Compensation:
    """Returns what folding constants has done: nothing to the outputs.

    Raises:
        VerificationError: they are not the same.
    """
    judge = Judge(original, mending.data, batch_size=reading.batch_size, threads=reading.threads)
    error = judge(model).relative_error
    if not (np.isfinite(error) and error <= _SAME):
        raise VerificationError(
            f"--lossless: the outputs differ by {error:.1e} of their size, and {_SAME:g} is "
            "accepted; channels that seemed constant were not, give a budget instead"
        )
    return Compensation("local", (Trial("local", error),), {}, len(mending.data), 0)
