"""Model -> `ChannelMap`: every rule speaks, then the equations are solved as a whole.

Shapes are read, weights never. A node that no rule describes is a barrier: what it touches is
frozen with a reason that names it. So is a node whose rule fails.
"""

from collections.abc import Mapping

import onnx_ir as ir

from onnxtrim.channels.channel_map import ChannelMap
from onnxtrim.channels.forks import settle
from onnxtrim.channels.grouping import Described, group_units
from onnxtrim.channels.ops import RULES, OpRule, rule_of
from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.channels.solve import Solution
from onnxtrim.graph.constants import bodies, opset_of
from onnxtrim.graph.shapes import unranked

__all__ = ["analyze"]


def analyze(model: ir.Model, rules: tuple[OpRule, ...] = RULES) -> ChannelMap:
    """Returns the units and groups of a normalised `model`.

    Never raises because of an operator: what is not understood is frozen, with the reason.
    """
    found = [(node, rule_of(model, node, rules), opset_of(model, node)) for node in model.graph]
    described: dict[ir.Node, OpRule] = {}

    def relate(choices: Mapping[tuple[str, int], int], choice: int) -> Relations:
        relations = Relations(choices, choice)
        for output in model.graph.outputs:
            sentence = f"{output.name} is an output of the graph"
            relations.seal(output, Reason(Code.GRAPH_OUTPUT, "", sentence))
        for node, rule, version in found:
            described.pop(node, None)
            if _relate(node, rule, version, relations) and rule is not None:
                described[node] = rule
                for weight in rule.weights(node):
                    if weight.writes is not None:
                        made = relations.axis(weight.value, weight.writes)
                        relations.written += [] if isinstance(made, Fixed) else [made]
        return relations

    relations, solution = settle(relate)
    return _map(relations, solution, list(described.items()), _depths(model.graph))


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
    if (hidden := unranked(node)) is not None:
        sentence = f"the rank of {hidden} is unknown"
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


def _map(
    relations: Relations,
    solution: Solution,
    described: list[Described],
    depths: dict[ir.Node, int],
) -> ChannelMap:
    """Returns the map: the unit of every position, and the groups that units form."""
    axes = {
        key: solution.unit_of[ids]
        for key, ids in relations.axes.items()
        if not isinstance(ids, Fixed) and ids.size > 0
    }
    groups = group_units(axes, solution.reasons, described, depths)
    return ChannelMap(
        axes=axes,
        unit_count=len(solution.reasons),
        groups=tuple(group for group in groups if group.reason is None),
        frozen_groups=tuple(group for group in groups if group.reason is not None),
        barriers=tuple(sorted(relations.barriers, key=lambda reason: reason.rank)),
    )
