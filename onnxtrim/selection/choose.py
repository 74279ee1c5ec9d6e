"""Scores and counted budgets -> the units to remove.

Units go in ascending order of their normalised scores (`scope` global), or of the share of their
group that is gone with them (`scope` layer). The smallest rung of the ladder that meets the budget
is taken. Its last step may overshoot, so that groups then get steps back, the highest scores first,
while the budget still holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError
from onnxtrim.selection.align import Alignment
from onnxtrim.selection.budget import Budget
from onnxtrim.selection.cost import CostModel
from onnxtrim.selection.ladder import Ladder, Queue, Widths
from onnxtrim.selection.layers import layers_of, share_of
from onnxtrim.selection.normalize_scores import removal_keys

__all__ = [
    "Choice",
    "choose",
    "counted",
    "fitting",
    "given_back",
    "ladders",
    "queues_of",
    "quota",
    "shortfall",
    "trimmed",
    "widest",
]

Scores = npt.NDArray[np.float64]
Met = Callable[[Widths], bool]


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
    budget: Budget,
) -> Choice:
    """Returns the units to remove, in the first of `alignments` in which the budget can be met.

    Args:
        channel_map: the groups; those with a reason are left alone.
        scores: higher = keep, one figure a unit, by group name.
        costs: the cost model of the original.
        config: scope, floors and caps.
        alignments: in channels, the preferred one first.
        budget: what may remain, counted.

    Raises:
        BudgetError: even the thinnest plan does not meet the budget.
    """
    queues = queues_of(channel_map, scores, config)
    found = ladders(channel_map, queues, costs, config, alignments)
    for ladder in found:
        choice = fitting(ladder, budget, config)
        if choice is not None:
            return choice
    raise BudgetError(shortfall(found[-1], budget, quota(found[-1], config)))


def queues_of(
    channel_map: ChannelMap, scores: Mapping[str, Scores], config: PruneConfig
) -> dict[str, Queue]:
    """Returns the order of removal of each group; ties fall by position."""
    found = {}
    for group in channel_map.groups:
        own = scores[group.name]
        keys = removal_keys(own, config.scope, config.normalize)
        order = np.lexsort((np.arange(len(own)), own, keys))
        found[group.name] = Queue(group.units[order], keys[order])
    return found


def ladders(
    channel_map: ChannelMap,
    queues: Mapping[str, Queue],
    costs: CostModel,
    config: PruneConfig,
    alignments: Sequence[Alignment],
) -> list[Ladder]:
    """Returns the ladder of each alignment."""
    layers = layers_of(channel_map, config)
    return [Ladder(channel_map, queues, layers, alignment, costs) for alignment in alignments]


def quota(ladder: Ladder, config: PruneConfig) -> int:
    """Returns how many units `--ratio` wants gone.

    Globally that is its share of all units, whichever groups they come from. Layer by layer it is
    what is left of its share of each group once alignment has kept the channels that are free.
    """
    ratio = config.ratio or 0.0
    if config.scope == "global":
        return share_of(ladder.last, ratio)
    wanted = [width - share_of(width, ratio) for width in ladder.whole]
    return len(ladder.removed(ladder.feasible(wanted)))


def fitting(ladder: Ladder, budget: Budget, config: PruneConfig) -> Choice | None:
    """Returns the widest plan of a ladder that meets counted budgets; None where none does."""
    met = counted(ladder, budget, config)
    widths = widest(ladder, met)
    if widths is None:
        return None
    if config.scope == "global":
        widths = given_back(ladder, widths, met)
    return Choice(ladder.removed(widths), ladder.alignment)


def counted(ladder: Ladder, budget: Budget, config: PruneConfig) -> Met:
    """Returns the test of whether a plan keeps within `budget` and enough units are gone."""
    units = quota(ladder, config)

    def met(widths: Widths) -> bool:
        gone = sum(ladder.whole) - sum(widths)
        return gone >= units and budget.met_by(ladder.cost(widths))

    return met


def widest(ladder: Ladder, met: Met) -> Widths | None:
    """Returns the widest plan that is `met`, None where not even the thinnest is.

    Thinner plans are taken to be met wherever a wider one is.
    """
    if not met(ladder.widths(ladder.last)):
        return None
    low, high = 0, ladder.last
    while low < high:
        middle = (low + high) // 2
        if met(ladder.widths(middle)):
            high = middle
        else:
            low = middle + 1
    return ladder.widths(high)


def given_back(ladder: Ladder, widths: Widths, met: Met, patience: int | None = None) -> Widths:
    """Returns `widths` with steps restored that keep them `met`, the best scores first.

    With `patience`, the search ends once so many groups could get nothing.
    """
    open_groups = set(range(len(widths)))
    least = 0 if patience is None else max(0, len(widths) - patience)
    while len(open_groups) > least:
        best = max(sorted(open_groups), key=lambda i: ladder.next_key(i, widths[i]))
        step = ladder.widened(best, widths[best])
        wider = (*widths[:best], step, *widths[best + 1 :])
        if wider != widths and met(wider):
            widths = wider
        else:
            open_groups.discard(best)
    return widths


def trimmed(
    channel_map: ChannelMap,
    scores: Mapping[str, Scores],
    costs: CostModel,
    config: PruneConfig,
    alignment: Alignment,
) -> Choice:
    """Returns the units whose score is more than `below_std` deviations below their group's mean.

    The rule of Network Trimming (Hu et al. 2016), which trims channels whose APoZ is more than one
    standard deviation above the mean of their layer: score(c) < mean - below_std x std. Steps and
    floors hold as ever.
    """
    queues = queues_of(channel_map, scores, config)
    (ladder,) = ladders(channel_map, queues, costs, config, (alignment,))
    deviations = config.below_std or 0.0
    wanted = [_standing(scores[group.name], deviations) for group in channel_map.groups]
    return Choice(ladder.removed(ladder.feasible(wanted)), alignment)


def _standing(scores: Scores, deviations: float) -> int:
    """Returns how many scores are not `deviations` standard deviations below their mean."""
    if np.ptp(scores) == 0:  # their mean may be off by rounding, which is no deviation
        return len(scores)
    return int(np.count_nonzero(scores >= scores.mean() - deviations * scores.std()))


def shortfall(ladder: Ladder, budget: Budget, units: int) -> str:
    """Returns the sentence for a budget out of reach: what was asked, what can be had."""
    thinnest = ladder.widths(ladder.last)
    asked = budget.excess(ladder.cost(thinnest), ladder.costs.now())
    gone = sum(ladder.whole) - sum(thinnest)
    if gone < units:
        asked.append(f"{units} of {ladder.last} channels to go, {gone} can")
    frozen = sum(group.width for group in ladder.channel_map.frozen_groups)
    return (
        f"the budget cannot be met: {'; '.join(asked)}; raise --max-layer-ratio, lower "
        f"--min-channels or --align, or see inspect for the {frozen} frozen channels"
    )
