"""Criteria applied: what they need is measured in one pass, then every group is scored."""

from collections.abc import Sequence

from onnxtrim.calibration import Dataset, Measurements, Progress, Statistic, measure
from onnxtrim.channels import Tap
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.criteria import Criterion, Scoring, score_groups
from onnxtrim.search.trials import Bench
from onnxtrim.subject import Subject

__all__ = ["measured", "measured_for", "scored_by"]


def measured(
    subject: Subject,
    taps: Sequence[Tap],
    statistics: Sequence[Statistic],
    data: Dataset | None,
    reading: DataConfig,
    progress: Progress | None,
) -> Measurements | None:
    """Returns `statistics` of activations at `taps`; None where there is nothing to measure."""
    if data is None or not statistics or not taps:
        return None
    return measure(
        subject.model,
        taps,
        statistics,
        data,
        batch_size=reading.batch_size,
        threads=reading.threads,
        progress=progress,
    )


def measured_for(
    bench: Bench, rules: Sequence[Criterion], data: Dataset | None, progress: Progress | None
) -> Measurements | None:
    """Returns what `rules` need to know of the activations of all groups; None for nothing."""
    groups = bench.channel_map.groups
    taps = [tap for rule in rules for group in groups for tap in rule.taps(group)]
    statistics = dict.fromkeys(s for rule in rules for s in rule.statistics)
    return measured(bench.subject, taps, list(statistics), data, bench.reading, progress)


def scored_by(
    bench: Bench, rule: Criterion, found: Measurements | None, config: PruneConfig
) -> Scoring:
    """Returns the scores of all groups by one criterion."""
    return score_groups(
        bench.subject.model,
        bench.channel_map,
        rule,
        found,
        reduction=config.reduce,
        seed=config.seed,
    )
