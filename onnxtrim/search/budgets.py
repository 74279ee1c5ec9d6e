"""Budgets that can only be measured: time, file size to the byte, and what the metric may lose.

Each is a test of a plan. Counted budgets are asked first, for they cost nothing; what was measured
once is not measured again. The ladder is bisected by all tests at once:

    latency, size     the widest plan that is fast and small enough
    max_drop alone    the thinnest plan that loses no more than that
    max_drop besides  the plan that the other budgets take must lose no more than that
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxtrim.calibration import LatencyPair
from onnxtrim.channels.relations import Ids
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError
from onnxtrim.search.trials import Bench
from onnxtrim.selection import (
    Budget,
    Choice,
    Ladder,
    Widths,
    counted,
    fitting,
    given_back,
    milliseconds,
    quota,
    shortfall,
    widest,
)

__all__ = ["Found", "within_budgets"]

_GLANCE, _LOOK = 0.5, 2.0
"""Seconds of timing while bisecting, and for the plan that is taken."""

_PATIENCE = 3
"""How many groups may fail to get a step back before the search ends: each takes a timing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A choice, and the times by which it met its budget if it had one of time."""

    choice: Choice
    latency: LatencyPair | None = None


def within_budgets(
    bench: Bench, ladders: Sequence[Ladder], config: PruneConfig, budget: Budget
) -> Found:
    """Returns what to remove, in the first of `ladders` in which all budgets can be met.

    Raises:
        BudgetError: no plan meets them; the sentence says what can be had.
        UsageError: an amount cannot be read.
    """
    only_drop = set(config.budgets) == {"--max-drop"}
    if only_drop:
        return Found(_thinnest(bench, ladders[0], config))
    for ladder in ladders:
        found = _fitting(bench, ladder, config, _to_the_byte(bench, ladder, budget))
        if found is not None:
            _check_drop(bench, found.choice, config)
            return found
    last = ladders[-1]
    exact, thinnest = _to_the_byte(bench, last, budget), last.widths(last.last)
    if counted(last, exact, config)(thinnest):
        raise BudgetError(_too_slow(bench, last, thinnest, config))
    raise BudgetError(shortfall(last, exact, quota(last, config)))


def _to_the_byte(bench: Bench, ladder: Ladder, budget: Budget) -> Budget:
    """Returns the budget with what the file of the thinnest plan holds besides weights.

    A cut can add an operand or two, which no cost model foresees, and shortens sizes.
    """
    if budget.size is None:
        return budget
    thinnest = ladder.widths(ladder.last)
    size = bench.size(ladder.removed(thinnest))
    return replace(budget, overhead=size - ladder.cost(thinnest).weight_bytes)


def _fitting(bench: Bench, ladder: Ladder, config: PruneConfig, budget: Budget) -> Found | None:
    """Returns the widest plan of a ladder that meets every budget but that of the metric."""
    choice = _small(bench, ladder, config, budget)
    if choice is None or config.latency is None:
        return None if choice is None else Found(choice)
    pair = bench.latency(choice.removed, _LOOK)
    if _excess(pair, config) <= 0:
        return Found(choice, pair)
    return _fast(bench, ladder, config, budget)


def _small(bench: Bench, ladder: Ladder, config: PruneConfig, budget: Budget) -> Choice | None:
    """Returns the widest plan of a ladder that meets every budget but those of time and metric."""
    room = budget
    while (choice := fitting(ladder, room, config)) is not None:
        if (excess := _excess_bytes(bench, choice.removed, budget)) <= 0:
            return choice
        room = room.tightened(excess)
    thinnest = ladder.widths(ladder.last)
    if not counted(ladder, budget, config)(thinnest):
        return None
    return Choice(ladder.removed(thinnest), ladder.alignment)


def _excess_bytes(bench: Bench, removed: Ids, budget: Budget) -> int:
    """Returns by how many bytes the file of a plan is too large."""
    return 0 if budget.size is None else bench.size(removed) - budget.size


def _fast(bench: Bench, ladder: Ladder, config: PruneConfig, budget: Budget) -> Found | None:
    """Returns the widest plan that is within the counted budgets and fast enough."""
    within = counted(ladder, budget, config)
    glances: dict[Widths, bool] = {}

    def met(widths: Widths) -> bool:
        if not within(widths):
            return False
        if widths not in glances:
            removed = ladder.removed(widths)
            glances[widths] = (
                _excess_bytes(bench, removed, budget) <= 0
                and _excess(bench.latency(removed, _GLANCE), config) <= 0
            )
        return glances[widths]

    while (widths := widest(ladder, met)) is not None:
        if config.scope == "global":
            widths = given_back(ladder, widths, met, _PATIENCE)
        pair = bench.latency(ladder.removed(widths), _LOOK)
        if _excess(pair, config) <= 0:
            return Found(Choice(ladder.removed(widths), ladder.alignment), pair)
        glances[widths] = False  # a longer look says otherwise: go on to a thinner one
    return None


def _excess(pair: LatencyPair, config: PruneConfig) -> float:
    """Returns by how many milliseconds a plan is too slow, from the ratio of paired runs."""
    limit = milliseconds("--latency", config.latency or 1.0, pair.before.median)
    return pair.before.median * pair.ratio.median - limit


def _too_slow(bench: Bench, ladder: Ladder, widths: Widths, config: PruneConfig) -> str:
    """Returns the sentence for a time out of reach."""
    pair = bench.latency(ladder.removed(widths), _LOOK)
    return (
        f"the budget cannot be met: --latency {config.latency} asked, {pair.after.median:.3g} ms "
        f"({pair.ratio.median:.2f} of the original) reachable; raise --max-layer-ratio, or see "
        "inspect for what is frozen"
    )


def _thinnest(bench: Bench, ladder: Ladder, config: PruneConfig) -> Choice:
    """Returns the thinnest plan that loses no more than `max_drop`.

    Wider plans are taken to lose less.

    Raises:
        BudgetError: even the first step loses more.
    """
    limit = config.max_drop or 0.0
    drops: dict[Widths, float] = {ladder.whole: 0.0}

    def drop(widths: Widths) -> float:
        if widths not in drops:
            drops[widths] = bench.quality(ladder.removed(widths)).metric.drop
        return drops[widths]

    low, high = 0, ladder.last
    while low < high:
        middle = (low + high + 1) // 2
        if drop(ladder.widths(middle)) <= limit:
            low = middle
        else:
            high = middle - 1
    if ladder.widths(low) == ladder.whole:
        least = min((d for w, d in drops.items() if w != ladder.whole), default=0.0)
        raise BudgetError(
            f"no plan keeps within --max-drop {limit:g}: the least that was seen is a drop of "
            f"{least:.3g}; raise it, give --align none for smaller steps, or another --criterion"
        )
    return Choice(ladder.removed(ladder.widths(low)), ladder.alignment)


def _check_drop(bench: Bench, choice: Choice, config: PruneConfig) -> None:
    """Raises BudgetError where the plan that the other budgets take loses too much."""
    if config.max_drop is None:
        return
    metric = bench.quality(choice.removed).metric
    if metric.drop > config.max_drop:
        share = bench.macs_left(choice.removed)
        raise BudgetError(
            f"the budgets cannot be met together: at {share:.2f} of the MACs {metric.name} loses "
            f"{metric.drop:.3g}, --max-drop allows {config.max_drop:g}; raise one of them"
        )
