"""What must stay of every axis: a layer is an axis that some weight makes, and has a floor.

Groups may share an axis: what a convolution adds to a padded shortcut, what a Concat joins. Such an
axis is as wide as all of them together,

    width(axis) = fixed + sum over groups g of positions(g) x kept(g)

so that one of them may go altogether while the floor holds. Floors are counted on the axes, for it
is an emptied layer, not an emptied group, that a model cannot survive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxtrim.channels import ChannelMap
from onnxtrim.config import PruneConfig

__all__ = ["Layer", "layers_of", "share_of"]


@dataclass(frozen=True, slots=True)
class Layer:
    """An axis, or several alike.

    Attributes:
        positions: what a unit of each group takes there, by the index of the group.
        fixed: positions that stay whatever happens.
        floor: positions that must stay.
    """

    positions: Mapping[int, int]
    fixed: int
    floor: int

    def width(self, kept: Sequence[int]) -> int:
        """Returns how wide the axis is where `kept` units stay of each group."""
        return self.fixed + sum(count * kept[g] for g, count in self.positions.items())


def layers_of(channel_map: ChannelMap, config: PruneConfig) -> list[Layer]:
    """Returns the axes of all groups that can be cut; axes with the same groups are one layer.

    An axis of a writing weight keeps `min_channels` channels and the share that `max_layer_ratio`
    protects, any other one position. Where earlier cuts made axes narrower, the share is of what
    they were.
    """
    written = {
        (use.tensor, use.axis)
        for group in (*channel_map.groups, *channel_map.frozen_groups)
        for use in group.writers
    }
    on_axis: dict[tuple[str, int], dict[int, int]] = {}
    for index, group in enumerate(channel_map.groups):
        for key, count in group.axes.items():
            on_axis.setdefault(key, {})[index] = count
    floors: dict[tuple[tuple[tuple[int, int], ...], int], int] = {}
    for key, positions in on_axis.items():
        width = len(channel_map.axes[key])
        free = sum(count * channel_map.groups[g].width for g, count in positions.items())
        whole = channel_map.whole.get(key, width)
        floor = _floor(width, whole, min(positions.values()), config) if key in written else 1
        alike = tuple(sorted(positions.items())), width - free
        floors[alike] = max(floors.get(alike, 0), floor)
    return [Layer(dict(groups), fixed, floor) for (groups, fixed), floor in floors.items()]


def share_of(width: int, ratio: float) -> int:
    """Returns how many of `width` a ratio is, rounded down but for what floats lose."""
    return math.floor(ratio * width + 1e-9)


def _floor(width: int, whole: int, positions: int, config: PruneConfig) -> int:
    """Returns what must stay of a layer of this width, where a channel has `positions`."""
    protected = whole - share_of(whole, config.max_layer_ratio)
    return min(max(config.min_channels * positions, protected, 1), width)
