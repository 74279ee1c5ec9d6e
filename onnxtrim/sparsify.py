"""A model -> the same graph with weights that are 0, proven and measured.

prepare -> zeros -> verify -> tune, the zeros kept -> evaluate -> report
"""

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from onnxtrim.calibration import Judge, Progress
from onnxtrim.clock import Clock
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.execute import Job, PruneResult, finished
from onnxtrim.graph.save import compressed_bytes
from onnxtrim.recover import Recovery
from onnxtrim.report import Sparsity
from onnxtrim.selection import make_plan
from onnxtrim.sparsity import (
    SparseLayer,
    patterned,
    proven,
    recounted,
    sparsified,
    zeros_stay,
)
from onnxtrim.subject import Subject
from onnxtrim.zeros import pattern_of

__all__ = ["NOTE", "made_sparse", "sparse_job", "sparsify", "sparsity_of"]

NOTE = (
    "zeros in place make nothing smaller or faster by themselves: a dense runtime multiplies them "
    "like other weights, and the file keeps its size until it is compressed"
)


def sparsify(job: Job, config: PruneConfig, clock: Clock, progress: Progress | None) -> PruneResult:
    """Returns the model of a job with weights that are 0; its plan is empty, for no channel goes.

    Args:
        job: the model, and what is to be done about it; whatever is tuned keeps its zeros.
        config: how many weights become 0, and which.
        clock: of the stages.
        progress: called with (what, done, total).

    Raises:
        UsageError: a glob matches nothing.
        ModelError: the model has no weight that may become sparse.
        VerificationError: the result could not be proven, or zeros were lost in tuning.
    """
    subject = job.subject
    with clock("zeros and verify"):
        sparse, layers = made_sparse(subject.model, config)
        proof = proven(subject.model, sparse, subject.proof_inputs, subject.proof_samples)
    job = replace(job, warnings=_warnings(layers))
    result = finished(job, job.removed, sparse, proof, clock, progress)
    zeros_stay(sparse, result.model)
    with clock("compress"):
        zeros = sparsity_of(job.first.model, result.model, layers)
    timings = {stage: round(spent, 3) for stage, spent in clock.seconds.items()}
    report = replace(result.report, sparsity=zeros, timings_s=timings)
    return replace(result, report=report)


def sparse_job(
    subject: Subject,
    reading: DataConfig,
    settings: Mapping[str, object],
    judge: Judge | None,
    recovery: Recovery | None,
) -> Job:
    """Returns what is to be done about a model that is made sparse."""
    whole = replace(subject.channel_map, groups=(), frozen_groups=(), barriers=())
    weights = subject.model.graph.initializers
    if recovery is not None:
        recovery = replace(recovery, config=replace(recovery.config, keep_zeros=True))
    return Job(
        subject=subject,
        channel_map=whole,
        plan=make_plan(whole, weights, whole.no_units, subject.facts.sha256),
        removed=whole.no_units,
        alignment=None,
        reading=reading,
        settings={**settings, "criterion": "l1", "compensate": "none"},
        judge=judge,
        recovery=recovery,
    )


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
