"""A model -> the same graph with weights that are 0, proven and measured.

prepare -> zeros -> verify -> tune, the zeros kept -> evaluate -> report
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxtrim.calibration import DataSource, MetricFunction, Progress
from onnxtrim.checks import require_provable
from onnxtrim.clock import Clock
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.execute import Job, PruneResult, finished
from onnxtrim.finetune import find_runtime
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.course import Pace
from onnxtrim.graph import ModelSource
from onnxtrim.graph.save import compressed_bytes
from onnxtrim.recover import recovery_of
from onnxtrim.report import Sparsity
from onnxtrim.search import judge_of
from onnxtrim.selection import make_plan
from onnxtrim.sparsity import (
    SparseLayer,
    patterned,
    proven,
    recounted,
    sparsified,
    zeros_stay,
)
from onnxtrim.subject import prepare
from onnxtrim.zeros import pattern_of

__all__ = ["NOTE", "SparseJob", "made_sparse", "sparsify", "sparsity_of"]

NOTE = (
    "zeros in place make nothing smaller or faster by themselves: a dense runtime multiplies them "
    "like other weights, and the file keeps its size until it is compressed"
)


@dataclass(frozen=True, slots=True)
class SparseJob:
    """What is asked for.

    Attributes:
        config: how many weights become 0, and which.
        tuning: how the result learns; None where it does not.
        reading: how data are read.
        settings: what the report says of the options.
        train_data: what it learns from; the calibration inputs by default.
        metric: what is looked at, instead of what fits.
        watch: called after each step of tuning.
    """

    config: PruneConfig
    tuning: TuneConfig | None
    reading: DataConfig
    settings: Mapping[str, object]
    train_data: DataSource | None = None
    metric: MetricFunction | None = None
    watch: Callable[[Pace], None] | None = None


def sparsify(
    model: ModelSource,
    data: DataSource | None,
    asked: SparseJob,
    clock: Clock,
    progress: Progress | None,
) -> PruneResult:
    """Returns a model some of whose weights are 0; its plan is empty, since no channel goes.

    Raises:
        UsageError: a glob matches nothing, or an option does not fit.
        ModelError: the model cannot be used, or has no weight that may become sparse.
        DataError: the data cannot be used.
        TrainingError: there is no training runtime, or nothing to train by.
        VerificationError: the result could not be proven, or zeros were lost in tuning.
    """
    config, reading = asked.config, asked.reading
    lesson = None
    if asked.tuning is not None:
        lesson = replace(asked.tuning, keep_zeros=True), find_runtime()
    with clock("prepare"):
        subject = prepare(model, data, reading)
        require_provable(subject)
        source, watch = asked.train_data, asked.watch
        recovery = lesson and recovery_of(subject, source, *lesson, config, reading, watch)
        judge = judge_of(subject, subject.data, asked.metric, reading)
    with clock("zeros and verify"):
        sparse, layers = made_sparse(subject.model, config)
        proof = proven(subject.model, sparse, subject.proof_inputs, subject.proof_samples)
    whole = replace(subject.channel_map, groups=(), frozen_groups=(), barriers=())
    weights = subject.model.graph.initializers
    job = Job(
        subject=subject,
        channel_map=whole,
        plan=make_plan(whole, weights, whole.no_units, subject.facts.sha256),
        removed=whole.no_units,
        alignment=None,
        reading=reading,
        settings={**asked.settings, "criterion": "l1", "compensate": "none"},
        judge=judge,
        warnings=_warnings(layers),
        recovery=recovery,
    )
    result = finished(job, whole.no_units, sparse, proof, clock, progress)
    zeros_stay(sparse, result.model)
    with clock("compress"):
        zeros = sparsity_of(subject.model, result.model, layers)
    timings = {stage: round(spent, 3) for stage, spent in clock.seconds.items()}
    report = replace(result.report, sparsity=zeros, timings_s=timings)
    return replace(result, report=report)


def made_sparse(model: ir.Model, config: PruneConfig) -> tuple[ir.Model, tuple[SparseLayer, ...]]:
    """Returns a clone with the zeros that are asked for, and every layer.

    Raises:
        UsageError: a glob matches nothing.
        ModelError: there is no weight that may become sparse.
        ValueError: no zeros are asked for.
    """
    globs = {"include": config.include, "exclude": config.exclude}
    if config.pattern is not None:
        return patterned(model, pattern_of(config.pattern), **globs)
    if config.weights is None:
        raise ValueError("no zeros are asked for")
    return sparsified(model, config.weights, config.scope, **globs)


def sparsity_of(original: ir.Model, model: ir.Model, layers: tuple[SparseLayer, ...]) -> Sparsity:
    """Returns what a report says of the zeros in a model, all of it counted on the model."""
    layers = recounted(model, layers)
    weights, zeros = (sum(getattr(each, n) for each in layers) for n in ("weights", "zeros"))
    return Sparsity(
        layers=layers,
        weights=weights,
        zeros=zeros,
        sparsity=zeros / max(weights, 1),
        gzip_before=compressed_bytes(original),
        gzip_after=compressed_bytes(model),
        note=NOTE,
    )


def _warnings(layers: tuple[SparseLayer, ...]) -> tuple[str, ...]:
    """Returns a sentence where tensors have nothing but zeros now."""
    empty = [each.tensor for each in layers if each.zeros == each.weights > each.zeros_before]
    if not empty:
        return ()
    others = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
    return (
        f"all weights of {empty[0]}{others} are 0, so that nothing passes there; take --scope "
        "layer, or --exclude",
    )
