"""Scores and a budget -> the units to remove.

All units are put in one order of removal. A *level* k takes the first k of them; what each group
loses of those is held back by its floor, its cap and its alignment step. More levels remove more,
so the smallest level that meets the budget is found by bisection. The last step may overshoot, so
groups then get steps back, the highest scores first, while the budget still holds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxtrim.channels import ChannelGroup, ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError
from onnxtrim.selection.align import Alignment, aligned_width, group_alignment
from onnxtrim.selection.budget import Budget
from onnxtrim.selection.cost import CostModel
from onnxtrim.selection.normalize_scores import removal_keys

__all__ = ["Choice", "choose"]

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A group in the order of removal: its units and keys ascending, and how many must stay."""

    group: ChannelGroup
    units: Ids
    keys: Scores
    floor: int
    alignment: Alignment

    def width_after(self, wanted: int) -> int:
        """Returns the width once at most `wanted` units go."""
        width = self.group.width
        return aligned_width(max(width - wanted, self.floor), width, self.alignment)


@dataclass(frozen=True, slots=True)
class Choice:
    """The units to remove, sorted, and the alignment in channels that they were chosen in."""

    removed: Ids
    alignment: Alignment


def choose(
    channel_map: ChannelMap,
    scores: Mapping[str, Scores],
    costs: CostModel,
    config: PruneConfig,
    alignments: Sequence[Alignment],
) -> Choice:
    """Returns the units to remove, in the first of `alignments` in which the budget can be met.

    Args:
        channel_map: the groups; those with a reason are left alone.
        scores: higher = keep, one figure a unit, by group name.
        costs: the cost model of the original.
        config: budgets, scope, floors and caps.
        alignments: in channels, the preferred one first.

    Raises:
        BudgetError: even the thinnest plan does not meet the budget.
    """
    budget = Budget.of(config, costs.now())
    for alignment in alignments:
        candidates = [_candidate(g, scores[g.name], config, alignment) for g in channel_map.groups]
        levels = _Levels(channel_map, candidates, costs, budget, _quota(candidates, config))
        if levels.met(levels.widths(levels.last)):
            widths = levels.widths(levels.smallest())
            if config.scope == "global":
                widths = levels.given_back(widths)
            return Choice(levels.removed(widths), alignment)
    raise BudgetError(_shortfall(levels, budget, channel_map))


def _candidate(
    group: ChannelGroup, scores: Scores, config: PruneConfig, alignment: Alignment
) -> _Candidate:
    """Returns `group` with its units in the order of removal; ties fall by position."""
    keys = removal_keys(scores, config.scope, config.normalize)
    order = np.lexsort((np.arange(len(scores)), scores, keys))
    must_stay = group.width - math.floor(config.max_layer_ratio * group.width + 1e-9)
    return _Candidate(
        group=group,
        units=group.units[order],
        keys=keys[order],
        floor=min(max(config.min_channels, must_stay, 1), group.width),
        alignment=group_alignment(group, alignment),
    )


def _quota(candidates: list[_Candidate], config: PruneConfig) -> int:
    """Returns how many units `--ratio` wants gone.

    Globally that is its share of all units, whichever groups they come from. Layer by layer it is
    what is left of its share of each group once alignment has kept the channels that are free.
    """
    ratio = config.ratio or 0.0
    if config.scope == "global":
        return math.floor(ratio * sum(c.group.width for c in candidates) + 1e-9)
    wanted = [math.floor(ratio * c.group.width + 1e-9) for c in candidates]
    return sum(c.group.width - c.width_after(n) for c, n in zip(candidates, wanted, strict=True))


class _Levels:
    """The ladder of ever thinner plans."""

    def __init__(
        self,
        channel_map: ChannelMap,
        candidates: list[_Candidate],
        costs: CostModel,
        budget: Budget,
        quota: int,
    ) -> None:
        """Puts all units in one order; ties between groups fall by the groups' order."""
        self._map, self._candidates = channel_map, candidates
        self.costs, self._budget, self.quota = costs, budget, quota
        keys = np.concatenate([c.keys for c in candidates] or [np.zeros(0)])
        owner = [np.full(c.group.width, i) for i, c in enumerate(candidates)]
        owners = np.concatenate(owner or [np.zeros(0, dtype=np.int64)])
        self._owners = owners[np.argsort(keys, kind="stable")]
        self.last = len(keys)

    def widths(self, level: int) -> list[int]:
        """Returns the width of every group once the first `level` units may go."""
        wanted = np.bincount(self._owners[:level], minlength=len(self._candidates))
        return [c.width_after(int(n)) for c, n in zip(self._candidates, wanted, strict=True)]

    def removed(self, widths: list[int]) -> Ids:
        """Returns the units that go where groups end up at `widths`."""
        parts = [
            c.units[: c.group.width - w] for c, w in zip(self._candidates, widths, strict=True)
        ]
        return np.sort(np.concatenate(parts or [np.zeros(0, dtype=np.int64)]))

    def met(self, widths: list[int]) -> bool:
        """Returns whether groups of `widths` keep within the budget and enough units are gone."""
        removed = self.removed(widths)
        if len(removed) < self.quota:
            return False
        return self._budget.met_by(self.costs.after(self._map.without(removed)))

    def smallest(self) -> int:
        """Returns the first level that meets the budget; the last one is known to."""
        low, high = 0, self.last
        while low < high:
            middle = (low + high) // 2
            if self.met(self.widths(middle)):
                high = middle
            else:
                low = middle + 1
        return low

    def given_back(self, widths: list[int]) -> list[int]:
        """Returns widths with every step restored that the budget allows, best scores first."""
        widths = list(widths)
        fixed: set[int] = set()
        while len(fixed) < len(widths):
            open_groups = [i for i in range(len(widths)) if i not in fixed]
            best = max(open_groups, key=lambda i: self._next_key(i, widths[i]))
            wider = list(widths)
            c = self._candidates[best]
            wider[best] = aligned_width(
                min(widths[best] + 1, c.group.width), c.group.width, c.alignment
            )
            if wider[best] > widths[best] and self.met(wider):
                widths = wider
            else:
                fixed.add(best)
        return widths

    def _next_key(self, index: int, width: int) -> float:
        """Returns the key of the unit that a group would get back next."""
        candidate = self._candidates[index]
        gone = candidate.group.width - width
        return float(candidate.keys[gone - 1]) if gone else -math.inf


def _shortfall(levels: _Levels, budget: Budget, channel_map: ChannelMap) -> str:
    """Returns the sentence for a budget out of reach: what was asked, what can be had."""
    now = levels.costs.now()
    removed = levels.removed(levels.widths(levels.last))
    best = levels.costs.after(channel_map.without(removed))
    asked = [
        f"{name} {limit:,} asked, {least:,} ({least / whole:.0%} of the original) reachable"
        for name, limit, least, whole in (
            ("macs", budget.macs, best.macs, now.macs),
            ("params", budget.params, best.params, now.params),
        )
        if limit is not None and least > limit
    ]
    if len(removed) < levels.quota:
        asked.append(f"{levels.quota} of {levels.last} channels to go, {len(removed)} can")
    frozen = sum(group.width for group in channel_map.frozen_groups)
    return (
        f"the budget cannot be met: {'; '.join(asked)}; raise --max-layer-ratio, lower "
        f"--min-channels or --align, or see inspect for the {frozen} frozen channels"
    )
