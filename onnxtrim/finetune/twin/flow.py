"""How gradients flow: from the outputs of a graph back to every tensor.

A tensor is *reached* where a path of operators with gradients leads from it to a float output. It
is *blocked* where a path leads through an operator without one: the runtime would refuse, and a
gradient without that path would be wrong. A path that ends at a size, an index or a condition
counts as none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from onnxtrim.finetune.twin.gradients import edge_of
from onnxtrim.graph.constants import bodies

__all__ = ["Flow", "downstream", "flow_of", "operands"]

_CAPTURED = -1
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a gradient meets on its way back.

    Attributes:
        reached: tensors that have a gradient, if nothing blocks them.
        blocked: tensors with a path through an operator without gradient, by the first such node.
    """

    reached: frozenset[ir.Value]
    blocked: dict[ir.Value, ir.Node]


def flow_of(graph: ir.Graph) -> Flow:
    """Returns how gradients of the float outputs of `graph` flow."""
    outputs = [value for value in graph.outputs if value.dtype in _FLOATS]
    reached, needed = set(outputs), set(outputs)
    blocked: dict[ir.Value, ir.Node] = {}
    for node in reversed(graph):
        made = [value for value in node.outputs if value in needed]
        if not made:
            continue
        blocker = next((blocked[value] for value in made if value in blocked), None)
        flows = not reached.isdisjoint(made)
        for place, value in operands(node):
            edge = edge_of(node, place)
            if edge == "stops":
                continue
            needed.add(value)
            if edge == "breaks":
                blocked[value] = node
            else:
                if flows:
                    reached.add(value)
                if blocker is not None:
                    blocked[value] = blocker
    return Flow(frozenset(reached), blocked)


def downstream(graph: ir.Graph, sources: set[ir.Value]) -> Iterator[ir.Node]:
    """Yields the nodes of `graph` that a gradient of `sources` comes by, in order."""
    carried = set(sources)
    for node in graph:
        if any(v in carried and edge_of(node, place) != "stops" for place, v in operands(node)):
            carried.update(node.outputs)
            yield node


def operands(node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """Yields the operands of a node with their places, and what its bodies capture."""
    yield from ((place, value) for place, value in enumerate(node.inputs) if value is not None)
    for body in bodies(node):
        for inner in body.all_nodes():
            own = inner.inputs
            yield from ((_CAPTURED, v) for v in own if v is not None and v.graph is node.graph)
