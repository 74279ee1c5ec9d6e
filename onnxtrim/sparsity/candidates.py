"""Which weights may become sparse: those by which nodes read or write channels, by their rules.

A candidate is an initializer of real numbers with two axes or more that is a weight wherever it is
read. Biases, norms and embeddings are none; so is what is computed from an initializer in the graph
(turned, or dequantised).
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxtrim.channels.ops import Weight, rule_of
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
        axis: the axis that reads channels, in each of them; None where there is no such one.
        blocks: how many blocks that axis is made of, each for outputs of its own.
        reason: why it stays dense; empty where it may become sparse.
    """

    tensor: str
    nodes: tuple[str, ...]
    axis: int | None
    blocks: int
    reason: str = ""


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
    found: dict[str, list[tuple[ir.Node, Weight]]] = {}
    for node in model.graph:
        rule = rule_of(model, node) if unranked(node) is None else None
        for weight in rule.weights(node) if rule is not None else ():
            if weight.value.is_initializer():
                found.setdefault(str(weight.value.name), []).append((node, weight))
    every = [_candidate(name, reads) for name, reads in found.items()]
    for option, globs in (("--include", include), ("--exclude", exclude)):
        for glob in globs:
            if not any(_matches(each, (glob,)) for each in every):
                raise UsageError(
                    f"{option} {glob}: matches no weight; give names of tensors or of nodes that "
                    "multiply by them"
                )
    return tuple(_restricted(each, include, exclude) for each in every)


def _candidate(name: str, reads: Sequence[tuple[ir.Node, Weight]]) -> Candidate:
    """Returns the initializer that some nodes read as a weight."""
    value = reads[0][1].value
    nodes = {node: None for node, _ in reads}
    ways = {(weight.reads, weight.blocks) for _, weight in reads if weight.reads is not None}
    axis, blocks = next(iter(ways)) if len(ways) == 1 else (None, 1)
    labels = tuple(node_label(node) for node in nodes)
    return Candidate(name, labels, axis, blocks, _reason(value, nodes))


def _reason(value: ir.Value, nodes: dict[ir.Node, None]) -> str:
    """Returns why an initializer that `nodes` read as a weight stays dense, if it does."""
    if value.dtype not in _FLOATS or value.const_value is None:
        return "its elements are no real numbers"
    if len(value.const_value.shape) < _LEAST_RANK:
        return "it has one axis only, as biases and norms have"
    others = [node for node, _ in value.uses() if node not in nodes]
    if others:
        return f"{node_label(others[0])} reads it, too, and not as a weight"
    return "it is an output of the graph, too" if value.is_graph_output() else ""


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
