"""The result of the analysis: which channels can only go together, and which cannot go."""

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Ids

__all__ = ["ChannelGroup", "ChannelMap", "Tap", "WeightRead", "WeightUse"]


@dataclass(frozen=True, slots=True)
class WeightUse:
    """A weight that makes or scales channels: the node, the weight, its axis of channels."""

    node: str
    tensor: str
    axis: int


@dataclass(frozen=True, slots=True)
class Tap:
    """Where activation statistics are taken: tensor, channel axis, and what makes it.

    Attributes:
        tensor: name of the tensor.
        axis: its channel axis.
        activation: whether a non-linearity makes it.
        zeroes: whether that is one with a half-line of exact zeros (a Relu).
    """

    tensor: str
    axis: int
    activation: bool
    zeroes: bool


@dataclass(frozen=True, slots=True)
class WeightRead(WeightUse):
    """A weight that consumes channels.

    Attributes:
        outputs: the axis of the weight that makes the node's outputs; None where it has none.
        source: where the channels that it multiplies can be measured.
    """

    outputs: int | None = None
    source: Tap | None = None


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Units that live on the same axes, ranked together.

    Attributes:
        name: the node that writes them first.
        units: the units, in the order of their first position on the first writer's axis.
        axes: the (tensor, axis) they live on, with the positions each unit has there.
        writers: the weights that make the channels.
        readers: the weights that consume them.
        scales: the weights that a normalisation multiplies them by.
        taps: where their activations can be measured.
        block_positions: positions a unit has on each axis that runtimes compute in blocks.
        reason: why the group is frozen; None where it is free.
    """

    name: str
    units: Ids
    axes: Mapping[tuple[str, int], int]
    writers: tuple[WeightUse, ...]
    readers: tuple[WeightRead, ...]
    taps: tuple[Tap, ...]
    block_positions: tuple[int, ...]
    scales: tuple[WeightUse, ...] = ()
    reason: Reason | None = None

    @property
    def width(self) -> int:
        """Returns the number of units."""
        return len(self.units)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Returns the names of the tensors that the units live on, sorted."""
        return tuple(sorted({tensor for tensor, _ in self.axes}))

    @property
    def own_names(self) -> tuple[str, ...]:
        """Returns the names by which users mean this group: nodes and tensors that make it.

        The weights that read it belong to the groups that they write.
        """
        foreign = {use.tensor for use in self.readers} - {use.tensor for use in self.writers}
        tensors = (name for name in self.tensors if name not in foreign)
        return self.name, *(use.node for use in self.writers), *tensors

    def positions(self, axes: Mapping[tuple[str, int], Ids], tensor: str, axis: int) -> Ids:
        """Returns where each unit lies on an axis, shape (units, positions a unit)."""
        units = axes[tensor, axis]
        rank = np.full(int(max(units.max(), self.units.max())) + 1, -1, dtype=np.int64)
        rank[self.units] = np.arange(self.width)
        places = np.flatnonzero(rank[units] >= 0)
        order = np.argsort(rank[units[places]], kind="stable")
        return places[order].reshape(self.width, -1)


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """Which channels exist, where, and which can go.

    Attributes:
        axes: the unit of every position, by (tensor, axis).
        unit_count: how many units there are, frozen ones included.
        groups: what can be cut, from input to output.
        frozen_groups: what has a writer but cannot be cut, each with its reason.
        barriers: the nodes that freeze all they touch, each with its reason.
        whole: how wide axes were before earlier cuts, where there were any: floors are shares of
            that.
    """

    axes: Mapping[tuple[str, int], Ids]
    unit_count: int
    groups: tuple[ChannelGroup, ...]
    frozen_groups: tuple[ChannelGroup, ...]
    barriers: tuple[Reason, ...] = ()
    whole: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def frozen(self) -> dict[int, Reason]:
        """Returns the reason of every frozen unit that some weight writes."""
        return {
            int(unit): group.reason
            for group in self.frozen_groups
            for unit in group.units
            if group.reason is not None
        }

    @property
    def no_units(self) -> Ids:
        """Returns an empty selection of units: what an empty plan removes."""
        return np.zeros(0, dtype=np.int64)

    def without(self, removed: npt.NDArray[np.int64]) -> Kept:
        """Returns what is left of every axis once the units `removed` are gone."""
        stays = np.ones(self.unit_count, dtype=np.bool_)
        stays[removed] = False
        return Kept(self.axes, stays)

    def matches(self, glob: str) -> bool:
        """Returns whether `glob` matches a name of any group, frozen or not."""
        return any(_matches(g.own_names, (glob,)) for g in (*self.groups, *self.frozen_groups))

    def restricted(self, include: Sequence[str], exclude: Sequence[str]) -> "ChannelMap":
        """Returns the map with groups frozen that no `include` or some `exclude` glob matches."""

        def why(group: ChannelGroup) -> str | None:
            left_out = bool(include) and not _matches(group.own_names, include)
            if left_out or _matches(group.own_names, exclude):
                option = "--include" if left_out else "--exclude"
                return f"{option} keeps {group.name} whole"
            return None

        return self._holding(why)

    def limited_to(self, names: Collection[str]) -> "ChannelMap":
        """Returns the map with all groups frozen that have none of these names."""

        def why(group: ChannelGroup) -> str | None:
            return None if group.name in names else f"it is not the turn of {group.name}"

        return self._holding(why)

    def _holding(self, why: Callable[[ChannelGroup], str | None]) -> "ChannelMap":
        """Returns the map with the groups frozen for which there is a sentence that says why."""
        free, held = [], list(self.frozen_groups)
        for group in self.groups:
            sentence = why(group)
            if sentence is None:
                free.append(group)
            else:
                reason = Reason(Code.EXCLUDED, group.name, sentence)
                held.append(replace(group, reason=reason))
        return replace(self, groups=tuple(free), frozen_groups=tuple(held))


def _matches(names: Sequence[str], globs: Sequence[str]) -> bool:
    """Returns whether any name matches any glob."""
    return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs)
