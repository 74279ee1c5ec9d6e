"""What the next step of the loop removes: which groups, by which rule, how much.

together    all groups: a share of the units that are left, or as far as the k-th of n even steps
to the budget leads
in-turn     the first group, from input to output, of which less is gone than shall be:

max(1, [per_step w]) units, while more than w - [ratio w] of its w are left
spreading   the groups with the lowest mean score, with each step those next to them too: by a
rule for each group (Network Trimming)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxtrim.channels import ChannelGroup, ChannelMap
from onnxtrim.channels.channel_map import WeightUse
from onnxtrim.config import PruneConfig
from onnxtrim.criteria import Scores
from onnxtrim.schedule.budget import Goal
from onnxtrim.schedule.config import LoopConfig
from onnxtrim.selection.layers import share_of
from onnxtrim.subject import Subject

__all__ = ["Stride", "ending", "lowest", "next_stride", "spread", "units_of"]


@dataclass(frozen=True, slots=True)
class Stride:
    """What a step removes.

    Attributes:
        config: the options of the step.
        groups: the names of the groups that it may cut; None for all.
    """

    config: PruneConfig
    groups: tuple[str, ...] | None = None


def units_of(channel_map: ChannelMap) -> int:
    """Returns how many units can be removed."""
    return sum(group.width for group in channel_map.groups)


def next_stride(
    goal: Goal,
    widths: Mapping[str, int],
    subject: Subject,
    channel_map: ChannelMap,
    config: PruneConfig,
    loop: LoopConfig,
    done: int,
) -> Stride | None:
    """Returns what the next step removes; None where nothing is left to do.

    Args:
        goal: where it leads.
        widths: of the groups of the original, by name.
        subject: the model that the step begins with.
        channel_map: its groups, as far as they may be cut.
        config: the options of the run.
        loop: in which steps.
        done: how many steps were taken.
    """
    if loop.order == "in-turn":
        return _in_turn(widths, channel_map, config, loop)
    units = units_of(channel_map)
    if goal.asks and goal.met(subject, units):
        return None
    free = replace(
        config, ratio=None, macs=None, params=None, size=None, latency=None, max_drop=None
    )
    if config.below_std is not None:
        return Stride(free)
    if loop.per_step is not None:
        return Stride(replace(free, ratio=loop.per_step))
    for number in range(done + 1, loop.steps + 1):
        share = number / loop.steps
        stride = goal.after(config, units, share)
        if stride.asks:
            return Stride(stride)
    return None


def ending(goal: Goal, channel_map: ChannelMap, config: PruneConfig) -> Stride:
    """Returns the step that ends just where the goal is."""
    return Stride(goal.after(config, units_of(channel_map), 1.0))


def lowest(scores: Mapping[str, Scores], count: int) -> tuple[str, ...]:
    """Returns the names of so many groups with the lowest mean score, the lowest first."""
    means = {name: float(np.mean(own)) for name, own in scores.items()}
    return tuple(sorted(means, key=lambda name: means[name])[:count])


def spread(channel_map: ChannelMap, front: Collection[str]) -> tuple[str, ...]:
    """Returns some groups and those next to them: that read what they make, or make what they read.

    In the order of the map.
    """
    mine = [group for group in channel_map.groups if group.name in front]
    near = [g for g in channel_map.groups if any(_touch(g, other) for other in mine)]
    names = {group.name for group in (*mine, *near)}
    return tuple(group.name for group in channel_map.groups if group.name in names)


def _touch(one: ChannelGroup, other: ChannelGroup) -> bool:
    """Returns whether a weight reads the channels of one group and makes those of the other."""
    return bool(
        _weights(one.readers) & _weights(other.writers)
        or _weights(other.readers) & _weights(one.writers)
    )


def _weights(uses: Sequence[WeightUse]) -> set[str]:
    """Returns the weights of some uses."""
    return {use.tensor for use in uses}


def _in_turn(
    widths: Mapping[str, int], channel_map: ChannelMap, config: PruneConfig, loop: LoopConfig
) -> Stride | None:
    """Returns the step of the first group of which less is gone than shall be."""
    for group in channel_map.groups:
        whole = widths[group.name]
        left = group.width - (whole - share_of(whole, config.ratio or 0.0))
        if left > 0:
            count = min(max(1, share_of(whole, loop.per_step or 0.0)), left)
            step = replace(config, ratio=count / group.width, max_layer_ratio=1.0, max_drop=None)
            return Stride(step, (group.name,))
    return None
