"""The formulas of a loss as nodes, of operators that the training runtime differentiates."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.finetune.losses.goal import Goal, GoalKind, OwnLoss, Slimming
from onnxtrim.finetune.losses.splice import spliced
from onnxtrim.graph.edit import appended, free_name, new_initializer

__all__ = ["with_loss"]

_TINY = 1e-30
"""What keeps log t finite where t is 0, and t log t 0."""

_made = partial(appended, prefix="loss")


def with_loss(
    model: ir.Model, goals: Sequence[Goal | OwnLoss], slimming: Slimming | None = None
) -> ir.Model:
    """Returns a clone with an input more for each target, and with the loss as its only output.

    The loss is a scalar. The outputs of the goals are float32, with samples on their first axis.
    Where a loss is somebody's own, the model is of opset 18 or newer.
    """
    clone = model.clone()
    graph = clone.graph
    outputs = {str(value.name): value for value in graph.outputs}
    terms = [
        _term(graph, outputs[goal.output], goal)
        if isinstance(goal, Goal)
        else _own_term(clone, [outputs[name] for name in goal.outputs], goal)
        for goal in goals
    ]
    terms += [] if slimming is None else _slim_terms(graph, slimming)
    loss = terms[0]
    for term in terms[1:]:
        loss = _made(graph, "Add", loss, term)
    loss.name = free_name(graph, "loss")
    loss.type, loss.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
    graph.outputs.clear()
    graph.outputs.append(loss)
    return clone


def _term(graph: ir.Graph, output: ir.Value, goal: Goal) -> ir.Value:
    """Returns the distance of an output from its target times its weight, a scalar."""
    target = ir.Value(name=goal.target, type=ir.TensorType(ir.DataType.FLOAT), shape=output.shape)
    graph.inputs.append(target)
    distance, factor = _FORMULAS[goal.kind](graph, output, target, goal)
    return _scaled(graph, distance, factor * goal.weight)


def _cross_entropy(
    graph: ir.Graph, output: ir.Value, target: ir.Value, goal: Goal
) -> tuple[ir.Value, float]:
    """Returns the cross-entropy, up to a factor, and this factor."""
    cooled = _scaled(graph, output, 1 / goal.temperature)
    said = _made(graph, "LogSoftmax", cooled, axis=1)
    lack = _made(graph, "Sub", said, _logarithm(graph, target))
    cost = _made(graph, "ReduceSum", _made(graph, "Mul", lack, target), keepdims=0)
    # Targets sum up to 1 over the classes, so that their sum is the number of samples.
    count = _made(graph, "ReduceSum", target, keepdims=0)
    return _made(graph, "Div", cost, count), -(goal.temperature**2)


def _binary(
    graph: ir.Graph, output: ir.Value, target: ir.Value, goal: Goal
) -> tuple[ir.Value, float]:
    """Returns the binary cross-entropy, with max(y, 0) as (y + |y|) / 2.

    Both have the same derivative but at 0, where a Relu has none of the right value.
    """
    del goal
    size = _made(graph, "Abs", output)
    above = _scaled(graph, _made(graph, "Add", output, size), 0.5)
    power = _made(graph, "Exp", _made(graph, "Neg", size))
    one = _constant(graph, 1.0)
    rest = _made(graph, "Log", _made(graph, "Add", power, one))
    cost = _made(
        graph, "Sub", _made(graph, "Add", above, rest), _made(graph, "Mul", output, target)
    )
    other = _made(graph, "Sub", one, target)
    for share in (target, other):
        known = _made(graph, "Mul", share, _logarithm(graph, share))
        cost = _made(graph, "Add", cost, known)
    return _made(graph, "ReduceMean", cost, keepdims=0), 1.0


def _squares(
    graph: ir.Graph, output: ir.Value, target: ir.Value, goal: Goal
) -> tuple[ir.Value, float]:
    """Returns the mean squared error, and what makes it relative."""
    off = _made(graph, "Sub", output, target)
    return _made(graph, "ReduceMean", _made(graph, "Mul", off, off), keepdims=0), goal.spread**-2


def _sizes(
    graph: ir.Graph, output: ir.Value, target: ir.Value, goal: Goal
) -> tuple[ir.Value, float]:
    """Returns the mean absolute error, and what makes it relative."""
    size = _made(graph, "Abs", _made(graph, "Sub", output, target))
    return _made(graph, "ReduceMean", size, keepdims=0), 1 / goal.spread


_Formula = Callable[[ir.Graph, ir.Value, ir.Value, Goal], tuple[ir.Value, float]]

_FORMULAS: Mapping[GoalKind, _Formula] = {
    "cross-entropy": _cross_entropy,
    "bce": _binary,
    "mse": _squares,
    "l1": _sizes,
}


def _own_term(model: ir.Model, outputs: Sequence[ir.Value], own: OwnLoss) -> ir.Value:
    """Returns what a loss of one's own says, a scalar."""
    graph, feeds = model.graph, list(outputs)
    taken = own.model.graph.inputs[len(outputs) :]
    for name, value in zip(own.targets, taken, strict=True):
        target = ir.Value(name=name, type=value.type, shape=value.shape)
        graph.inputs.append(target)
        feeds.append(target)
    return _made(graph, "ReduceSum", spliced(model, own.model, feeds), keepdims=0)


def _slim_terms(graph: ir.Graph, slimming: Slimming) -> list[ir.Value]:
    """Returns the sizes of each vector of scales summed up, times the weight."""
    known = [graph.initializers[n] for n in slimming.scales if n in graph.initializers]
    sums = [_made(graph, "ReduceSum", _made(graph, "Abs", scale), keepdims=0) for scale in known]
    return [_scaled(graph, total, slimming.weight) for total in sums]


def _logarithm(graph: ir.Graph, share: ir.Value) -> ir.Value:
    """Returns the logarithm of what is in [0, 1], finite."""
    return _made(graph, "Log", _made(graph, "Add", share, _constant(graph, _TINY)))


def _scaled(graph: ir.Graph, value: ir.Value, by: npt.ArrayLike) -> ir.Value:
    """Returns a tensor times a number."""
    return _made(graph, "Mul", value, _constant(graph, by))


def _constant(graph: ir.Graph, number: npt.ArrayLike) -> ir.Value:
    """Returns a number as an initializer."""
    return new_initializer(graph, "loss.number", np.asarray(number, np.float32))
