"""The six verbs by which operator rules say how channels relate, and the equations they leave.

Every axis that can carry channels gets an integer array of ids, one per position. A rule asks for
the ids of an axis (`axis`), gives ids to an output axis (`bind`), and states equations (`same`,
`same_across_blocks`, `block`) or a refusal (`freeze`). Equations are edges between ids; nothing is
solved here.

An axis on which nothing can ever be cut (a batch axis, a spatial one, one of unknown size) is
`Fixed` and carries the reason instead of ids; whatever meets it is frozen for that reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.graph.constants import node_label

__all__ = ["Channels", "Fixed", "Fork", "Ids", "Relations"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fixed:
    """An axis without ids: nothing on it can be cut, for the reason given."""

    reason: Reason


Channels = Ids | Fixed


@dataclass(frozen=True, slots=True)
class Fork:
    """A place where one of several axes can carry the units, and only one.

    Attributes:
        key: the first output of the node, and how many forks that node had before.
        options: how many axes there are to choose from.
        ids: the ids at stake.
    """

    key: tuple[str, int]
    options: int
    ids: Ids


class Relations:
    """The ids of all axes and the equations between them, gathered node by node.

    Attributes:
        axes: ids by (tensor name, axis); only axes that somebody asked for.
        count: how many ids there are.
        barriers: the reasons of the nodes that freeze all they touch.
        forks: the choices that rules came to.
        written: the ids that weights make.

    Args:
        choices: what to take at forks that are known, by key.
        choice: what to take at the others.
    """

    def __init__(
        self, choices: Mapping[tuple[str, int], int] | None = None, choice: int = 0
    ) -> None:
        """Starts without ids."""
        self.forks: list[Fork] = []
        self.written: list[Ids] = []
        self._choices = choices or {}
        self._choice = choice
        self.axes: dict[tuple[str, int], Channels] = {}
        self.count = 0
        self.barriers: list[Reason] = []
        self._left: list[Ids] = []
        self._right: list[Ids] = []
        self._frozen: list[tuple[Ids, Reason]] = []
        self._sealed: dict[str, Reason] = {}
        self._passed_over: dict[tuple[str, int], Reason] = {}
        self._touched: set[tuple[str, int]] = set()
        self._node: ir.Node | None = None

    # -- the six verbs ----------------------------------------------------------------------

    def axis(self, value: ir.Value | None, axis: int) -> Channels:
        """Returns the ids of one axis of a tensor; `Fixed` where it can carry none.

        Initializers get fresh ids when first asked for. What no rule bound on the output of a
        node, and every axis of a graph input, is fixed.
        """
        if value is None or value.name is None:
            return Fixed(self.reason(Code.POSITIONS, "an operand is missing"))
        if value.shape is None:
            return Fixed(self.reason(Code.DYNAMIC_SIZE, f"the rank of {value.name} is unknown"))
        key = value.name, axis % max(len(value.shape), 1)
        self._touched.add(key)
        if key not in self.axes:
            self.axes[key] = self._first(value, key[1], value.shape)
        return self.axes[key]

    def bind(self, value: ir.Value, axis: int, ids: Channels) -> None:
        """Gives `ids` to an axis of an output of the current node."""
        if value.name is None or value.shape is None:
            if not isinstance(ids, Fixed):
                self.freeze(ids, Code.DYNAMIC_SIZE, f"the rank of {value.name} is unknown")
            return
        axis %= len(value.shape)
        size = value.shape[axis]
        if not isinstance(ids, Fixed) and isinstance(size, int) and size != len(ids):
            raise ValueError(f"{len(ids)} ids for axis {axis} of {value.name}, size {size}")
        self.axes[value.name, axis] = ids

    def same(self, a: Channels, b: Channels) -> None:
        """States that position i of `a` and position i of `b` can only go together."""
        if isinstance(a, Fixed) or isinstance(b, Fixed):
            for ids, other in ((a, b), (b, a)):
                if not isinstance(ids, Fixed) and isinstance(other, Fixed):
                    self._frozen.append((ids, other.reason))
            return
        if a.shape != b.shape:
            raise ValueError(f"{a.size} ids cannot be the same as {b.size}")
        self._left.append(a)
        self._right.append(b)

    def same_across_blocks(self, ids: Channels, blocks: int) -> Channels:
        """States that equal positions of `blocks` equal blocks go together; returns block one."""
        if isinstance(ids, Fixed):
            return ids
        table = ids.reshape(blocks, -1)
        self.same(np.repeat(table[:1], blocks - 1, axis=0).reshape(-1), table[1:].reshape(-1))
        return np.asarray(table[0])

    def block(self, ids: Channels, size: int) -> Channels:
        """States that `size` neighbours at a time go together; returns the first of each."""
        if isinstance(ids, Fixed):
            return ids
        table = ids.reshape(-1, size)
        self.same(np.repeat(table[:, :1], size - 1, axis=1).reshape(-1), table[:, 1:].reshape(-1))
        return np.asarray(table[:, 0])

    def freeze(self, ids: Channels, code: Code, sentence: str) -> None:
        """States that `ids` cannot go, and why."""
        if not isinstance(ids, Fixed):
            self._frozen.append((ids, self.reason(code, sentence)))

    # -- beside the verbs -------------------------------------------------------------------

    def fresh(self, length: int) -> Ids:
        """Returns `length` ids that nobody has yet: positions that come from nowhere."""
        ids = np.arange(self.count, self.count + length, dtype=np.int64)
        self.count += length
        return ids

    def fork(self, options: int, ids: Ids) -> int:
        """Returns which of `options` axes is to carry the units `ids`; the analysis tries all."""
        label = "" if self._node is None else str(self._node.outputs[0].name)
        key = label, sum(fork.key[0] == label for fork in self.forks)
        self.forks.append(Fork(key, options, ids))
        return min(self._choices.get(key, self._choice), options - 1)

    # -- for the analysis -------------------------------------------------------------------

    def begin(self, node: ir.Node) -> None:
        """Makes `node` the current one: reasons name it."""
        self._node = node
        self._touched.clear()

    def end(self, node: ir.Node) -> None:
        """Freezes every axis of the operands that the rule did not speak of.

        What a rule does not mention it takes for positions: a convolution its spatial axes. Should
        channels lie there, they cannot go.
        """
        for value in node.inputs:
            for axis in range(len(value.shape or ()) if value is not None else 0):
                key = str(value.name if value is not None else ""), axis
                if key not in self._touched:
                    sentence = f"axis {axis} of {key[0]} is read as positions, not channels"
                    reason = self.reason(Code.POSITIONS, sentence)
                    others = self._passed_over.get(key, reason)
                    self._passed_over[key] = min(reason, others, key=lambda r: r.rank)

    def reason(self, code: Code, sentence: str) -> Reason:
        """Returns a reason that names the current node."""
        return Reason(code, "" if self._node is None else node_label(self._node), sentence)

    def seal(self, value: ir.Value, reason: Reason) -> None:
        """States that no axis of `value` can be cut, whoever asks for it, before or after."""
        if value.name is not None and (
            value.name not in self._sealed or reason.rank < self._sealed[value.name].rank
        ):
            self._sealed[value.name] = reason

    def concrete(self, channels: Channels, length: int) -> Ids:
        """Returns `channels` as ids; for a fixed axis fresh ones, frozen for its reason."""
        if not isinstance(channels, Fixed):
            return channels
        ids = self.fresh(length)
        self._frozen.append((ids, channels.reason))
        return ids

    def edges(self) -> tuple[Ids, Ids]:
        """Returns both ends of all equations, (edges,) each."""
        return _concatenate(self._left), _concatenate(self._right)

    def refusals(self) -> list[tuple[Ids, Reason]]:
        """Returns every frozen set of ids with its reason, those of sealed tensors included."""
        found = list(self._frozen)
        for (name, axis), ids in self.axes.items():
            if not isinstance(ids, Fixed):
                reasons = (self._sealed.get(name), self._passed_over.get((name, axis)))
                found += [(ids, reason) for reason in reasons if reason is not None]
        return found

    def _first(self, value: ir.Value, axis: int, shape: ir.Shape) -> Channels:
        """Returns what an axis is before any rule spoke of it."""
        name = str(value.name)
        if name in self._sealed:
            return Fixed(self._sealed[name])
        producer = value.producer()
        if value.is_initializer():
            if len(shape) == 0:
                return Fixed(self.reason(Code.BROADCAST, f"{name} is a scalar"))
            size = shape[axis]
            return self.fresh(size if isinstance(size, int) else 0)
        if producer is None:
            return Fixed(Reason(Code.GRAPH_INPUT, "", f"{name} is an input of the graph"))
        sentence = f"axis {axis} of {name} holds positions, not channels"
        return Fixed(Reason(Code.POSITIONS, node_label(producer), sentence))


def _concatenate(arrays: list[Ids]) -> Ids:
    """Returns the arrays in one; an empty one for none."""
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)
