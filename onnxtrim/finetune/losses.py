"""What is made small, as part of the graph: targets are inputs, and the only output is the loss.

For the output y of a model, with a target t of its shape and n = samples:

    cross-entropy    T^2 / n  sum( t (log t - log softmax(y / T)) )     t = softmax(teacher / T),
                                                                        or one-hot and T = 1
    mse              mean( (y - t)^2 ) / var(teacher)
    l1               mean( |y - t| ) / std(teacher)

The loss is their mean over the outputs. T^2 keeps gradients of one size whatever the temperature
(Hinton et al. 2015), and t log t makes 0 the best; of one-hot targets it is 0, so that the loss is
the cross-entropy with the labels. Softmax is over axis 1; all axes after it have one position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.edit import free_name, new_initializer

__all__ = ["Goal", "GoalKind", "one_hot", "softened", "target_name", "with_loss"]

_TINY = 1e-30
"""What keeps log t finite where t is 0, and t log t 0."""

GoalKind = Literal["cross-entropy", "mse", "l1"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What one output is to become.

    Attributes:
        output: its name.
        kind: how the distance from the target is measured.
        temperature: what scores are divided by, in cross-entropy.
        sizes: of a sample of it: (classes, 1, ...), in cross-entropy.
        spread: the standard deviation of what the teacher answers, elsewhere; not 0.
    """

    output: str
    kind: GoalKind
    temperature: float = 1.0
    sizes: tuple[int, ...] = ()
    spread: float = 1.0


def target_name(output: str) -> str:
    """Returns the name of the input that takes the target of an output."""
    return f"{output}.target"


def with_loss(model: ir.Model, goals: Sequence[Goal]) -> ir.Model:
    """Returns a clone with an input more for each goal, and with the loss as its only output.

    The loss is a scalar. The outputs of the goals are float32, with samples on their first axis.
    """
    clone = model.clone()
    graph = clone.graph
    outputs = {value.name: value for value in graph.outputs}
    terms = [_term(graph, outputs[goal.output], goal) for goal in goals]
    total = terms[0]
    for term in terms[1:]:
        total = _made(graph, "Add", [total, term])
    share = new_initializer(graph, "loss.share", np.array(1 / len(terms), np.float32))
    loss = _made(graph, "Mul", [total, share])
    loss.name = free_name(graph, "loss")
    loss.type, loss.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
    graph.outputs.clear()
    graph.outputs.append(loss)
    return clone


def softened(scores: npt.NDArray[Any], temperature: float) -> npt.NDArray[np.float32]:
    """Returns softmax(scores / temperature) over axis 1."""
    scaled = scores.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype("f4")
    return shares


def one_hot(labels: npt.NDArray[np.int64], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Returns targets of (samples, classes, 1, ...): 1 at the label, 0 elsewhere."""
    return np.eye(shape[1], dtype=np.float32)[labels].reshape(shape)


def _term(graph: ir.Graph, output: ir.Value, goal: Goal) -> ir.Value:
    """Returns the distance of an output from its target, a scalar."""
    target = ir.Value(
        name=target_name(goal.output), type=ir.TensorType(ir.DataType.FLOAT), shape=output.shape
    )
    graph.inputs.append(target)

    def scaled(value: ir.Value, by: npt.ArrayLike) -> ir.Value:
        factor = new_initializer(graph, f"{goal.output}.scale", np.asarray(by, np.float32))
        return _made(graph, "Mul", [value, factor])

    if goal.kind == "cross-entropy":
        cooled = scaled(output, 1 / goal.temperature)
        tiny = new_initializer(graph, f"{goal.output}.tiny", np.array(_TINY, np.float32))
        wanted = _made(graph, "Log", [_made(graph, "Add", [target, tiny])])
        lack = _made(graph, "Sub", [_made(graph, "LogSoftmax", [cooled], axis=1), wanted])
        cost = _made(graph, "ReduceSum", [_made(graph, "Mul", [lack, target])], keepdims=0)
        # Targets sum up to 1 over the classes, so that their sum is the number of samples.
        count = _made(graph, "ReduceSum", [target], keepdims=0)
        return scaled(_made(graph, "Div", [cost, count]), -(goal.temperature**2))
    off = _made(graph, "Sub", [output, target])
    if goal.kind == "mse":
        squares = _made(graph, "Mul", [off, off])
        return scaled(_made(graph, "ReduceMean", [squares], keepdims=0), goal.spread**-2)
    size = _made(graph, "Abs", [off])
    return scaled(_made(graph, "ReduceMean", [size], keepdims=0), 1 / goal.spread)


def _made(graph: ir.Graph, op_type: str, inputs: Sequence[ir.Value], **attributes: int) -> ir.Value:
    """Returns the result of a new standard operator at the end of a graph."""
    listed = [ir.AttrInt64(name, value) for name, value in attributes.items()]
    node = ir.Node("", op_type, inputs, listed)
    node.outputs[0].name = free_name(graph, f"loss.{op_type.lower()}")
    graph.append(node)
    return node.outputs[0]
