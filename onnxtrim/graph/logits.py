"""Scores before they are made probabilities."""

from collections.abc import Collection, Mapping
from typing import Literal

import onnx_ir as ir

__all__ = ["Ending", "ends_in", "without_ending"]

Ending = Literal["softmax", "sigmoid"]
"""What makes probabilities of scores: of all classes together, or of each by itself."""

_OPERATORS: Mapping[Ending, tuple[str, ...]] = {
    "softmax": ("Softmax", "LogSoftmax"),
    "sigmoid": ("Sigmoid",),
}


def ends_in(model: ir.Model, output: str, ending: Ending) -> bool:
    """Returns whether an output of `model` is made by an ending, and read by nothing else."""
    values = [value for value in model.graph.outputs if value.name == output]
    return bool(values) and _maker(values[0], ending) is not None


def without_ending(model: ir.Model, outputs: Collection[str], ending: Ending) -> ir.Model:
    """Returns a clone whose `outputs` are taken before the ending, under the same names.

    Those that have none stay as they are.
    """
    clone = model.clone()
    graph = clone.graph
    for place, value in enumerate(graph.outputs):
        node = _maker(value, ending) if value.name in outputs else None
        scores = None if node is None else node.inputs[0]
        if node is None or scores is None:
            continue
        name = value.name
        graph.outputs[place] = scores
        graph.remove(node, safe=True)
        scores.name = name
    return clone


def _maker(output: ir.Value, ending: Ending) -> ir.Node | None:
    """Returns the node of the ending that makes an output, from scores that are no output too."""
    node = output.producer()
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type not in _OPERATORS[ending] or output.uses():
        return None
    scores = node.inputs[0]
    if scores is None or scores.producer() is None or scores.is_graph_output():
        return None
    return node
