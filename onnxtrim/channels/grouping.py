"""Units -> groups: the units that live on the same axes, as often, and for the same reason.

A group is ranked, cut and reported together; its units never depend on each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.channel_map import ChannelGroup, Tap, WeightRead, WeightUse
from onnxtrim.channels.ops import OpRule
from onnxtrim.channels.ops.operands import is_constant, name
from onnxtrim.channels.reasons import Reason
from onnxtrim.channels.relations import Ids
from onnxtrim.graph.constants import node_label

__all__ = ["Described", "group_units"]

Described = tuple[ir.Node, OpRule]
"""A node with the rule that described it."""

_Key = tuple[str, int]
_Use = TypeVar("_Use", bound=WeightUse)


def group_units(
    axes: Mapping[_Key, Ids],
    reasons: list[Reason | None],
    described: list[Described],
    depth: Mapping[ir.Node, int],
) -> list[ChannelGroup]:
    """Returns the groups of all units that some weight writes, from input to output.

    Names and order depend on the graph and on its names, never on the order of its nodes.
    """
    uses = _Uses(axes, sorted(described, key=lambda d: (depth[d[0]], node_label(d[0]))))
    groups = [
        group
        for units, keys in _classes(axes, reasons)
        if (group := uses.group(units, keys, reasons[int(units[0])])) is not None
    ]
    groups.sort(key=uses.order)
    return _unique_names(groups)


def _classes(
    axes: Mapping[_Key, Ids], reasons: list[Reason | None]
) -> Iterator[tuple[Ids, list[_Key]]]:
    """Yields the units that live on the same axes, as often, for the same reason; and these axes.

    What a unit lives on is a row of axis numbers, one a position; units with equal rows are one
    class.
    """
    names = sorted(axes)
    if not names:
        return
    units = np.concatenate([axes[key] for key in names])
    places = np.repeat(np.arange(len(names)), [len(axes[key]) for key in names])
    order = np.argsort(units, kind="stable")  # places stay in order within a unit
    units, places = units[order], places[order]
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    classes: dict[tuple[Reason | None, bytes], list[int]] = {}
    for unit, start, end in zip(units[starts], starts, [*starts[1:], len(units)], strict=True):
        row = places[start:end].tobytes()
        classes.setdefault((reasons[unit], row), []).append(int(unit))
    for (_, row), members in classes.items():
        keys = [names[place] for place in np.unique(np.frombuffer(row, dtype=places.dtype))]
        yield np.array(members, dtype=np.int64), keys


class _Uses:
    """What the nodes do with each axis: write, read, activate, compute in blocks."""

    def __init__(self, axes: Mapping[_Key, Ids], described: list[Described]) -> None:
        """Indexes the nodes, which come sorted, by the axes that carry units."""
        self._axes = axes
        self._writers: dict[_Key, list[WeightUse]] = {}
        self._readers: dict[_Key, list[WeightRead]] = {}
        self._scales: dict[_Key, list[WeightUse]] = {}
        self._taps: dict[_Key, Tap] = {}
        self._read_at: dict[_Key, Tap] = {}
        self._blocked: set[_Key] = set()
        self._computed: set[str] = set()
        self._rank: dict[str, int] = {}
        for rank, (node, rule) in enumerate(described):
            self._rank[node_label(node)] = rank
            self._blocked.update(rule.blocked_axes(node))
            self._computed.update(name(v) for v in node.outputs if not is_constant(v))
            self._note_weights(node, rule)
            if rule.activation:
                self._note_tap(node, rule)

    def group(self, units: Ids, keys: list[_Key], reason: Reason | None) -> ChannelGroup | None:
        """Returns the group of `units`, which live on axes `keys`; None where none is written."""
        writers = self._sorted(use for key in keys for use in self._writers.get(key, ()))
        if not writers:
            return None
        first = self._axes[writers[0].tensor, writers[0].axis]
        mine = first[np.isin(first, units)]
        _, place = np.unique(mine, return_index=True)
        taps = [self._taps[key] for key in keys if key in self._taps]
        taps = taps or [self._read_at[key] for key in keys if key in self._read_at]
        # What is sliced away behind its writer is read by none.
        taps = (
            taps
            or [
                Tap(*key, activation=False, zeroes=False)
                for key in keys
                if key[0] in self._computed
            ][:1]
        )
        counts = {key: int(np.count_nonzero(self._axes[key] == units[0])) for key in keys}
        return ChannelGroup(
            name=writers[0].node,
            units=mine[np.sort(place)],
            axes=counts,
            writers=writers,
            readers=self._sorted(use for key in keys for use in self._readers.get(key, ())),
            taps=tuple(taps),
            scales=self._sorted(use for key in keys for use in self._scales.get(key, ())),
            block_positions=tuple(sorted({counts[key] for key in keys if key in self._blocked})),
            reason=reason,
        )

    def order(self, group: ChannelGroup) -> tuple[int, int]:
        """Returns where a group stands: by its first writer, then by its first position there."""
        writer = group.writers[0]
        places = group.positions(self._axes, writer.tensor, writer.axis)
        return self._rank[writer.node], int(places[0, 0])

    def _sorted(self, uses: Iterable[_Use]) -> tuple[_Use, ...]:
        """Returns weight uses in the order of their nodes."""
        return tuple(sorted(uses, key=lambda use: (self._rank[use.node], use.axis)))

    def _note_weights(self, node: ir.Node, rule: OpRule) -> None:
        """Records the channels that the weights of `node` write, scale and read, and where."""
        label = node_label(node)
        for weight in rule.weights(node):
            tensor = name(weight.value)
            if weight.writes is not None and (key := (tensor, weight.writes)) in self._axes:
                self._writers.setdefault(key, []).append(WeightUse(label, *key))
            if weight.reads is not None and (key := (tensor, weight.reads)) in self._axes:
                sources = self._sources(node)
                self._read_at.update(sources)
                same = (tap for place, tap in sources.items() if self._meet(key, place))
                read = WeightRead(label, *key, outputs=weight.writes, source=next(same, None))
                self._readers.setdefault(key, []).append(read)
        scale = rule.scale(node)
        if scale is not None and is_constant(scale) and (key := (name(scale), 0)) in self._axes:
            self._scales.setdefault(key, []).append(WeightUse(label, *key))

    def _sources(self, node: ir.Node) -> dict[_Key, Tap]:
        """Returns the axes of what `node` multiplies by a weight, as places to measure."""
        values = [v for v in node.inputs if v is not None and not is_constant(v)]
        places = [(name(v), axis) for v in values for axis in range(len(v.shape or ()))]
        return {k: Tap(*k, activation=False, zeroes=False) for k in places if k in self._axes}

    def _meet(self, key: _Key, other: _Key) -> bool:
        """Returns whether the first unit on one axis lies on another."""
        return bool(np.isin(self._axes[key][0], self._axes[other]))

    def _note_tap(self, node: ir.Node, rule: OpRule) -> None:
        """Records the output of an activation as a place to measure."""
        value = node.outputs[0]
        for axis in range(len(value.shape or ())):
            key = name(value), axis
            if key in self._axes:
                self._taps[key] = Tap(*key, activation=True, zeroes=rule.zeroes(node))


def _unique_names(groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Returns the groups with `#2`, `#3` ... behind a name that came before."""
    seen: dict[str, int] = {}
    result: list[ChannelGroup] = []
    for group in groups:
        seen[group.name] = seen.get(group.name, 0) + 1
        suffix = f"#{seen[group.name]}" if seen[group.name] > 1 else ""
        result.append(replace(group, name=group.name + suffix))
    return result
