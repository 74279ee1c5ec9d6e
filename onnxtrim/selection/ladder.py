"""Scores -> the ladder of ever thinner plans, from which budgets take a rung.

All units are put in one order of removal. A *level* k takes the first k of them; what each group
loses of those is held back by its alignment step and by the floors of the layers it lies on. More
levels remove more, so that whoever looks for a budget can bisect.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxtrim.channels import ChannelGroup, ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.selection.align import Alignment, aligned_width, group_alignment
from onnxtrim.selection.cost import Cost, CostModel
from onnxtrim.selection.layers import Layer

__all__ = ["Ladder", "Queue", "Widths"]

Scores = npt.NDArray[np.float64]
Widths = tuple[int, ...]
"""How many units stay of each group, in the order of the groups."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The units of a group in the order in which they go, with keys that rise.

    The keys of all groups together say which unit of the model goes next.
    """

    units: Ids
    keys: Scores


class Ladder:
    """Every plan that an order of removal allows, from the whole model to the thinnest.

    Args:
        channel_map: the groups.
        queues: the order of removal of each group, by its name.
        layers: what must stay.
        alignment: the steps of widths, in channels.
        costs: the cost model of the original.
    """

    def __init__(
        self,
        channel_map: ChannelMap,
        queues: Mapping[str, Queue],
        layers: Sequence[Layer],
        alignment: Alignment,
        costs: CostModel,
    ) -> None:
        """Puts all units in one order; ties between groups fall by the groups' order."""
        self.channel_map = channel_map
        self.alignment = alignment
        self.costs = costs
        self._groups: tuple[ChannelGroup, ...] = channel_map.groups
        self._queues = [queues[group.name] for group in self._groups]
        self._alignments = [group_alignment(group, alignment) for group in self._groups]
        self._layers = layers
        self._floors = [self._own_floor(index) for index in range(len(self._groups))]
        keys = np.concatenate([np.zeros(0), *(queue.keys for queue in self._queues)])
        owners = np.repeat(np.arange(len(self._groups)), [g.width for g in self._groups])
        self._owners = owners[np.argsort(keys, kind="stable")]
        self.last = len(keys)

    @property
    def whole(self) -> Widths:
        """Returns the widths of the original."""
        return tuple(group.width for group in self._groups)

    def widths(self, level: int) -> Widths:
        """Returns the width of every group once the first `level` units may go."""
        gone = np.bincount(self._owners[:level], minlength=len(self._groups))
        return self.feasible([g.width - int(n) for g, n in zip(self._groups, gone, strict=True)])

    def feasible(self, wanted: Sequence[int]) -> Widths:
        """Returns the widths from `wanted` up that fill their steps and keep every floor."""
        widths = [
            self._aligned(index, max(width, self._floors[index]))
            for index, width in enumerate(wanted)
        ]
        for layer in self._layers:
            while layer.width(widths) < layer.floor:
                short = [g for g in layer.positions if widths[g] < self._groups[g].width]
                first = max(short, key=lambda g: self.next_key(g, widths[g]))
                widths[first] = self.widened(first, widths[first])
        return tuple(widths)

    def removed(self, widths: Sequence[int]) -> Ids:
        """Returns the units that go where groups end up at `widths`, sorted."""
        gone = [q.units[: len(q.units) - w] for q, w in zip(self._queues, widths, strict=True)]
        return np.sort(np.concatenate([self.channel_map.no_units, *gone]))

    def cost(self, widths: Sequence[int]) -> Cost:
        """Returns what the model costs where groups end up at `widths`."""
        return self.costs.after(self.channel_map.without(self.removed(widths)))

    def widened(self, index: int, width: int) -> int:
        """Returns the next width of a group above `width`, one step up; at most its own."""
        return self._aligned(index, min(width + 1, self._groups[index].width))

    def next_key(self, index: int, width: int) -> float:
        """Returns the key of the unit that a group of this width would get back next."""
        gone = self._groups[index].width - width
        return float(self._queues[index].keys[gone - 1]) if gone else -math.inf

    def _aligned(self, index: int, width: int) -> int:
        """Returns `width` rounded up to a step of the group."""
        return aligned_width(width, self._groups[index].width, self._alignments[index])

    def _own_floor(self, index: int) -> int:
        """Returns how many units a group must keep because it is alone on some axis."""
        alone = [x for x in self._layers if list(x.positions) == [index] and not x.fixed]
        return max((-(-layer.floor // layer.positions[index]) for layer in alone), default=0)
