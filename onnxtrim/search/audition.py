"""`--criterion auto`: every cheap criterion makes a plan, and the outputs say which was best.

All plans meet the same budget. The one whose outputs differ least from the original's wins; random
scores are tried as well, and shown beside, but cannot win: a criterion that does not beat them is
worth nothing here, and a warning says so.
"""

from collections.abc import Callable
from dataclasses import replace

from onnxtrim.calibration import Measurements, Progress
from onnxtrim.config import CriterionName, PruneConfig
from onnxtrim.criteria import CRITERIA, Criterion, Needs, Scoring
from onnxtrim.report import CandidateRow, MetricValue
from onnxtrim.search.scores import scored_by
from onnxtrim.search.trials import Bench
from onnxtrim.selection import Choice

__all__ = ["audition", "candidates"]

BASELINE: CriterionName = "random"


def candidates() -> list[Criterion]:
    """Returns the criteria that take no more than one pass over the data."""
    return [c for c in CRITERIA.values() if not c.needs & Needs.GRADIENTS]


def audition(
    bench: Bench,
    found: Measurements | None,
    config: PruneConfig,
    take: Callable[[Scoring], Choice],
    progress: Progress | None = None,
) -> tuple[Scoring, tuple[CandidateRow, ...]]:
    """Returns the scores whose plan changes the outputs least, and all candidates, best first.

    A criterion that means nothing in any group is left out.

    Args:
        bench: where plans are tried.
        found: the statistics of all candidates.
        config: the seed, and how members are reduced.
        take: makes a plan of scores.
        progress: told how far it is.

    Raises:
        BudgetError: no plan meets the budget.
    """
    scorings = {rule.name: scored_by(bench, rule, found, config) for rule in candidates()}
    groups = len(bench.channel_map.groups)
    fit = {name: s for name, s in scorings.items() if len(s.stand_ins) < groups}
    rows = []
    for index, (name, scoring) in enumerate(fit.items()):
        rows.append(_tried(bench, name, take(scoring)))
        if progress is not None:
            progress("trying criteria", index + 1, len(fit))
    rows.sort(key=lambda row: row.relative_error)
    best = next(row for row in rows if row.criterion != BASELINE)
    scoring = fit[best.criterion]
    if rows[0].criterion == BASELINE:
        scoring = replace(scoring, warnings=(*scoring.warnings, _worthless(rows[0], best)))
    return scoring, tuple(replace(row, chosen=row is best) for row in rows)


def _worthless(baseline: CandidateRow, best: CandidateRow) -> str:
    """Returns the warning that no criterion beats the baseline."""
    return (
        f"no criterion beats {baseline.criterion} scores at this budget: the outputs are off by "
        f"{baseline.relative_error:.3g} with those, by {best.relative_error:.3g} with "
        f"{best.criterion}; so much went that which units went hardly matters"
    )


def _tried(bench: Bench, name: str, choice: Choice) -> CandidateRow:
    """Returns what a plan does."""
    found = bench.quality(choice.removed)
    metric = MetricValue(found.metric.name, found.metric.after)
    return CandidateRow(name, bench.macs_left(choice.removed), found.relative_error, metric)
