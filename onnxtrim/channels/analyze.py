"""Model -> `ChannelMap`: every rule speaks once, then the equations are solved once.

Shapes are read, weights never. A node that no rule describes is a barrier: what it touches is
frozen with a reason that names it. So is a node whose rule fails.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.channel_map import ChannelMap
from onnxtrim.channels.components import components
from onnxtrim.channels.grouping import Described, group_units
from onnxtrim.channels.ops import RULES, OpRule, rule_of
from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Fixed, Ids, Relations
from onnxtrim.graph.constants import bodies, opset_of
from onnxtrim.graph.shapes import dims

__all__ = ["analyze"]


def analyze(model: ir.Model, rules: tuple[OpRule, ...] = RULES) -> ChannelMap:
    """Returns the units and groups of a normalised `model`.

    Never raises because of an operator: what is not understood is frozen, with the reason.
    """
    relations = Relations()
    for output in model.graph.outputs:
        sentence = f"{output.name} is an output of the graph"
        relations.seal(output, Reason(Code.GRAPH_OUTPUT, "", sentence))
    described: list[Described] = []
    for node in model.graph:
        rule = rule_of(model, node, rules)
        if _relate(node, rule, opset_of(model, node), relations) and rule is not None:
            described.append((node, rule))
    return _solve(relations, described, _depths(model.graph))


def _depths(graph: ir.Graph) -> dict[ir.Node, int]:
    """Returns the length of the longest path from an input to each node."""
    depth: dict[ir.Node, int] = {}
    for node in graph:
        depth[node] = 1 + max((depth.get(p, 0) for p in node.predecessors()), default=0)
    return depth


def _relate(node: ir.Node, rule: OpRule | None, version: int, relations: Relations) -> bool:
    """Lets `rule` speak of `node`; returns False, and makes a barrier, where it cannot."""
    relations.begin(node)
    operator = f"{node.domain or 'ai.onnx'}.{node.op_type} (opset {version})"
    if rule is None or any(True for _ in bodies(node)):
        sentence = f"no rule describes {operator}"
        _barrier(node, relations.reason(Code.UNKNOWN_OPERATOR, sentence), relations)
        return False
    unranked = [v.name for v in _operands(node) if dims(v) is None]
    if unranked:
        sentence = f"the rank of {unranked[0]} is unknown"
        _barrier(node, relations.reason(Code.DYNAMIC_SIZE, sentence), relations)
        return False
    try:
        rule.relate(node, relations)
        relations.end(node)
    except Exception as error:  # a faulty rule must cost its node, not the run
        shapes = ", ".join(f"{v.name}: {v.shape}" for v in node.inputs if v is not None)
        sentence = f"the rule for {operator} failed on ({shapes}): {error}"
        _barrier(node, relations.reason(Code.RULE_FAILED, sentence), relations)
        return False
    return True


def _barrier(node: ir.Node, reason: Reason, relations: Relations) -> None:
    """Freezes everything that `node`, or a graph inside it, touches."""
    relations.barriers.append(reason)
    for value in _operands(node):
        relations.seal(value, reason)
    for graph in bodies(node):
        for inner in ir.traversal.RecursiveGraphIterator(graph):
            for captured in inner.inputs:
                if captured is not None:
                    relations.seal(captured, reason)
        for output in graph.outputs:
            relations.seal(output, reason)


def _operands(node: ir.Node) -> list[ir.Value]:
    """Returns the inputs and outputs of `node` that are there."""
    return [v for v in (*node.inputs, *node.outputs) if v is not None and v.name]


def _solve(
    relations: Relations, described: list[Described], depths: dict[ir.Node, int]
) -> ChannelMap:
    """Returns the map: components of the equations, their refusals, and the groups they form."""
    roots = components(relations.count, *relations.edges())
    names, unit_of = np.unique(roots, return_inverse=True)
    axes = {
        key: unit_of[ids]
        for key, ids in relations.axes.items()
        if not isinstance(ids, Fixed) and ids.size > 0
    }
    reasons = _reasons(relations, unit_of, len(names))
    groups = group_units(axes, reasons, described, depths)
    return ChannelMap(
        axes=axes,
        unit_count=len(names),
        groups=tuple(group for group in groups if group.reason is None),
        frozen_groups=tuple(group for group in groups if group.reason is not None),
        barriers=tuple(sorted(relations.barriers, key=lambda reason: reason.rank)),
    )


def _reasons(relations: Relations, unit_of: Ids, count: int) -> list[Reason | None]:
    """Returns the first reason, in the order of `Code`, of every unit; None for a free one."""
    refusals = sorted(relations.refusals(), key=lambda entry: entry[1].rank, reverse=True)
    chosen = np.full(count, -1, dtype=np.int64)
    for index, (ids, _) in enumerate(refusals):
        chosen[unit_of[ids]] = index
    return [None if index < 0 else refusals[index][1] for index in chosen]
