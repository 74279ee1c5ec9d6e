"""A model of the training artifacts as a function: weights and a batch -> what is asked for.

The artifacts are made for the training API, which keeps weights and gradients itself: the training
model adds each gradient g to a buffer, `InPlaceAccumulatorV2(buffer, g, reset) -> sum`. Without
these nodes it is a function of its inputs, which any session runs, several at a time.

A normalisation by batch statistics, `BatchNormInternal(x, scale, bias, mean, variance)`, gives the
running mean and variance that follow as its outputs 1 and 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from .quicker import Layout, quickened

__all__ = ["Function", "evaluation_function", "training_function"]

_BUFFER = "_grad.accumulation.buffer"
_RESET = "lazy_reset_grad"
_STATISTICS = {3: 1, 4: 2}
"""Which output of a normalisation follows which of its inputs."""


@dataclass(frozen=True)
class Function:
    """A model, and which of its outputs are what.

    Attributes:
        model: takes weights and a batch.
        loss: the name of the loss.
        gradients: the name of the gradient by each weight.
        statistics: the name of what follows each running mean and variance.
        layouts: inputs that are weights in another order.
    """

    model: onnx.ModelProto
    loss: str
    gradients: dict[str, str]
    statistics: dict[str, str]
    layouts: dict[str, Layout]

    @property
    def outputs(self) -> list[str]:
        """Returns the names of all outputs."""
        return [self.loss, *self.gradients.values(), *self.statistics.values()]


def training_function(
    model: onnx.ModelProto, statistics: Sequence[str] = (), block: int = 0
) -> Function:
    """Returns a training model as a function, in faster nodes; `model` is changed.

    Args:
        model: a training model of the artifacts.
        statistics: the running means and variances that follow.
        block: channels a block of the blocked layout; 0 where there is none.
    """
    graph = model.graph
    loss = graph.output[0].name
    sums = [node for node in graph.node if node.op_type == "InPlaceAccumulatorV2"]
    gradients = {node.input[0].removesuffix(_BUFFER): node.input[1] for node in sums}
    follows = {
        node.input[before]: node.output[after]
        for node in graph.node
        if node.op_type == "BatchNormInternal"
        for before, after in _STATISTICS.items()
        if node.input[before] in statistics
    }
    for node in sums:
        graph.node.remove(node)
    taken = {_RESET, *(node.input[0] for node in sums)}
    _replace(graph.input, [value for value in graph.input if value.name not in taken])
    names = [loss, *gradients.values(), *follows.values()]
    _replace(graph.output, [_real(name) for name in names])
    model, layouts = quickened(model, block)
    return Function(model, loss, gradients, follows, layouts)


def evaluation_function(model: onnx.ModelProto, block: int = 0) -> Function:
    """Returns an eval model as a function, in faster nodes; `model` is changed."""
    loss = model.graph.output[0].name
    model, layouts = quickened(model, block)
    return Function(model, loss, {}, {}, layouts)


def _real(name: str) -> onnx.ValueInfoProto:
    """Returns an output of real numbers, of whatever shape."""
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def _replace(field: Any, values: Sequence[onnx.ValueInfoProto]) -> None:  # noqa: ANN401
    """Puts other values into a repeated field."""
    kept = list(values)
    del field[:]
    field.extend(kept)
