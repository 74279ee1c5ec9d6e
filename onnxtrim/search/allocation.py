"""Ways to share a budget among groups, and the one that leaves the outputs nearest.

`error`    a group's units have scores that say what each adds to the error of its readers; what
           that does to the outputs is measured once, with half of the group gone and compensated:

               key(u) = e^2 score(u) / (sum of the scores of that half) / (what a unit saves)

           where e is the relative error of the outputs. Squared errors of groups add up where they
           are independent, so that the thinnest model for a given error takes the least key next.
`scores`   the scores themselves, normalised
`uniform`  the same share of every group
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from onnxtrim.calibration import Progress
from onnxtrim.channels.relations import Ids
from onnxtrim.config import PruneConfig
from onnxtrim.criteria import Scores
from onnxtrim.report import CandidateRow, MetricValue
from onnxtrim.search.sensitivity import saved_by_unit
from onnxtrim.search.trials import Bench
from onnxtrim.selection import Queue, queues_of
from onnxtrim.selection.layers import share_of

__all__ = ["WAYS", "shared_by_error", "tried"]

WAYS = ("error", "scores", "uniform")

_LEAST = 1e-12
"""An error that is as good as none: what makes no difference still goes in the order of scores."""


def shared_by_error(
    bench: Bench,
    queues: Mapping[str, Queue],
    scores: Mapping[str, Scores],
    config: PruneConfig,
    progress: Progress | None = None,
) -> dict[str, Queue]:
    """Returns the queues with keys by what each unit does to the outputs, and saves.

    Args:
        bench: where plans are tried.
        queues: the order of removal of each group.
        scores: of the units of each group; none is below 0.
        config: caps, and the budgets.
        progress: told how many groups were tried.
    """
    found, groups = {}, bench.channel_map.groups
    for index, group in enumerate(groups):
        queue, own = queues[group.name], scores[group.name]
        rank = {int(unit): place for place, unit in enumerate(group.units)}
        ordered = np.maximum.accumulate([max(own[rank[int(unit)]], 0.0) for unit in queue.units])
        half = max(1, min(group.width // 2, share_of(group.width, config.max_layer_ratio)))
        gone = np.sort(queue.units[:half])
        error = bench.glance(gone) ** 2 if half < group.width else 1.0
        total = float(ordered[:half].sum())
        shares = ordered / total if total > 0 else np.full(group.width, 1 / half)
        saved = saved_by_unit(bench, queue, group, config)
        found[group.name] = Queue(queue.units, max(error, _LEAST) * shares / saved)
        if progress is not None:
            progress("trying groups", index + 1, len(groups))
    return found


def tried(
    bench: Bench,
    scores: Mapping[str, Scores],
    config: PruneConfig,
    take: Callable[[dict[str, Queue]], Ids],
    progress: Progress | None = None,
) -> tuple[dict[str, Queue], tuple[CandidateRow, ...]]:
    """Returns the queues of the way whose plan leaves the outputs nearest, and what all ways did.

    Args:
        bench: where plans are tried.
        scores: of the units of each group.
        config: caps, and the budgets.
        take: the units that go for the budgets, by queues.
        progress: told how many groups were tried.
    """
    plain = queues_of(bench.channel_map, scores, config)
    uniform = queues_of(bench.channel_map, scores, replace(config, scope="layer"))
    by_error = shared_by_error(bench, plain, scores, config, progress)
    ways = dict(zip(WAYS, (by_error, plain, uniform), strict=True))
    plans = {name: take(queues) for name, queues in ways.items()}
    if len({plan.tobytes() for plan in plans.values()}) == 1:  # there is nothing to compare
        return by_error, ()
    rows = {name: _row(bench, name, plan) for name, plan in plans.items()}
    best = min(rows, key=lambda name: rows[name].relative_error)
    marked = (replace(row, chosen=name == best) for name, row in rows.items())
    return ways[best], tuple(sorted(marked, key=_error))


def _row(bench: Bench, name: str, removed: Ids) -> CandidateRow:
    """Returns what a plan does."""
    found = bench.preview(removed)
    metric = MetricValue(found.metric.name, found.metric.after)
    return CandidateRow(name, bench.macs_left(removed), found.relative_error, metric)


def _error(row: CandidateRow) -> float:
    """Returns what rows are sorted by."""
    return row.relative_error
