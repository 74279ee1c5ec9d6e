"""Which weights may become sparse: those by which nodes read or write channels, by their rules.

A candidate is an initializer of real numbers with two axes or more that is a weight wherever it is
read, also where a Reshape or the like stands in between. Biases, norms and embeddings are none, nor
are the quantised weights that the graph computes real ones of.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxtrim.channels.ops import Weight, moved, rule_of
from onnxtrim.errors import UsageError
from onnxtrim.graph.constants import node_label
from onnxtrim.graph.shapes import unranked

__all__ = ["Candidate", "candidates_of"]

_FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)
_LEAST_RANK = 2
"""Axes from which on training keeps zeros; what has one is a bias or a norm."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An initializer that nodes read as their weight.

    Attributes:
        tensor: its name.
        nodes: those that read it.
        axis: the axis that reads channels, in each of them; None where there is no such one, or the
            elements are moved before they are read.
        blocks: how many blocks that axis is made of, each for outputs of its own.
        reason: why it stays dense; empty where it may become sparse.
    """

    tensor: str
    nodes: tuple[str, ...]
    axis: int | None
    blocks: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """An initializer, the node that reads it as a weight, and the nodes that it passes before."""

    source: ir.Value
    node: ir.Node
    weight: Weight
    between: tuple[ir.Node, ...]


def candidates_of(
    model: ir.Model, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """Returns the weights of a model that may become sparse, and those that stay dense, and why.

    Args:
        model: a normalised model.
        include: only weights become sparse whose name, or that of a node that reads them, one of
            these globs matches; all where there are none.
        exclude: weights stay dense for which one of these globs does.

    Raises:
        UsageError: a glob matches nothing.
    """
    found: dict[str, list[_Read]] = {}
    for node in model.graph:
        rule = rule_of(model, node) if unranked(node) is None else None
        for weight in rule.weights(node) if rule is not None else ():
            source = moved(weight.value)
            if source is not None:
                read = _Read(source[0], node, weight, source[1])
                found.setdefault(str(source[0].name), []).append(read)
    every = [_candidate(name, reads) for name, reads in found.items()]
    for option, globs in (("--include", include), ("--exclude", exclude)):
        for glob in globs:
            if not any(_matches(each, (glob,)) for each in every):
                raise UsageError(
                    f"{option} {glob}: matches no weight; give names of tensors or of nodes that "
                    "multiply by them"
                )
    return tuple(_restricted(each, include, exclude) for each in every)


def _candidate(name: str, reads: Sequence[_Read]) -> Candidate:
    """Returns the initializer that some nodes read as a weight."""
    nodes = tuple(dict.fromkeys(node_label(read.node) for read in reads))
    ways = {(r.weight.reads, r.weight.blocks) for r in reads if r.weight.reads is not None}
    plain = len(ways) == 1 and not any(read.between for read in reads)
    axis, blocks = next(iter(ways)) if plain else (None, 1)
    return Candidate(name, nodes, axis, blocks, _reason(reads))


def _reason(reads: Sequence[_Read]) -> str:
    """Returns why an initializer that is read as a weight stays dense, if it does."""
    value = reads[0].source
    if value.dtype not in _FLOATS or value.const_value is None:
        return "its elements are no real numbers"
    if len(value.const_value.shape) < _LEAST_RANK:
        return "it has one axis only, as biases and norms have"
    known = {node for read in reads for node in (read.node, *read.between)}
    seen = [value, *(out for read in reads for node in read.between for out in node.outputs)]
    others = [node for each in seen for node, _ in each.uses() if node not in known]
    if others:
        return f"{node_label(others[0])} reads it, too, and not as a weight"
    outputs = any(each.is_graph_output() for each in seen)
    return "it is an output of the graph, too" if outputs else ""


def _restricted(candidate: Candidate, include: Sequence[str], exclude: Sequence[str]) -> Candidate:
    """Returns a candidate that stays dense where the globs say so."""
    if candidate.reason:
        return candidate
    left_out = bool(include) and not _matches(candidate, include)
    if not (left_out or _matches(candidate, exclude)):
        return candidate
    option = "--include" if left_out else "--exclude"
    return Candidate(
        candidate.tensor,
        candidate.nodes,
        candidate.axis,
        candidate.blocks,
        f"{option} keeps it dense",
    )


def _matches(candidate: Candidate, globs: Sequence[str]) -> bool:
    """Returns whether any name of a candidate matches any glob."""
    names = (candidate.tensor, *candidate.nodes)
    return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs)
