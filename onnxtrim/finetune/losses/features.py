"""What student and teacher make of a sample on its way, where their channel groups are measured.

Where a feature x, (samples, ..., C, ...), has as many channels in both, it is compared as outputs
are. Where the student is thinner, its attention map is (Zagoruyko & Komodakis 2017, 1612.03928):

    m = mean over channels of x^2           a = m / ||m||, sample by sample
    distance = ||a_student - a_teacher||^2,                mean over the samples

The graph makes b = m / sqrt(mean(m^2)) of it, over the P positions of a sample. Since it is
sqrt(P) a, the mean squared error of b is this distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from onnxtrim.channels import analyze
from onnxtrim.errors import UsageError
from onnxtrim.graph.edit import appended, new_initializer
from onnxtrim.graph.runtime import Arrays
from onnxtrim.graph.shapes import concrete_shapes

__all__ = ["Feature", "features_of", "with_features"]

_AXES_AS_OPERAND = 18
_LEAST_RANK = 3
_TINY = 1e-20
"""What keeps the map of a sample finite where all of it is 0."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A tensor that student and teacher have.

    Attributes:
        tensor: its name.
        axis: its channels.
        rank: how many axes it has.
        mapped: whether the attention map is compared; else the tensor itself.
    """

    tensor: str
    axis: int
    rank: int
    mapped: bool

    @property
    def output(self) -> str:
        """Returns the name of the output that it becomes."""
        return f"{self.tensor}.attention" if self.mapped else self.tensor


def features_of(student: ir.Model, teacher: ir.Model, sample: Arrays) -> tuple[Feature, ...]:
    """Returns what can be compared: what both have by name, with sizes that agree but for channels.

    Args:
        student: a normalised model.
        teacher: another one, or the same.
        sample: inputs that both take.

    Raises:
        UsageError: there is nothing.
    """
    models = (student, teacher)
    taps = [_taps(model) for model in models]
    mine, other = (concrete_shapes(model, sample) for model in models)
    found = []
    for tensor, axis in taps[0]:
        if (tensor, axis) not in taps[1] or tensor not in mine or tensor not in other:
            continue
        thin, wide = list(mine[tensor]), list(other[tensor])
        mapped = thin[axis] != wide[axis]
        del thin[axis], wide[axis]
        if thin == wide:
            found.append(Feature(tensor, axis, len(thin) + 1, mapped))
    if not found:
        raise UsageError(
            "--features: the models have no features to compare, tensors of three axes or more "
            "with channels that can go; leave it out"
        )
    return tuple(found)


def with_features(model: ir.Model, features: Sequence[Feature]) -> ir.Model:
    """Returns a clone with an output more for each feature."""
    clone = model.clone()
    graph = clone.graph
    tensors = {value.name: value for node in graph for value in node.outputs}
    for feature in features:
        value = tensors[feature.tensor]
        if feature.mapped:
            value = _attention(graph, value, feature)
        value.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(value)
    return clone


def _taps(model: ir.Model) -> dict[tuple[str, int], None]:
    """Returns tensor and axis of what can be compared, in the order of the graph."""
    outputs = set(model.graph.outputs)
    ranks = {
        value.name: len(value.shape)
        for node in model.graph
        for value in node.outputs
        if value.shape is not None and value.dtype == ir.DataType.FLOAT and value not in outputs
    }
    taps = {(tap.tensor, tap.axis) for group in analyze(model).groups for tap in group.taps}
    order = {name: place for place, name in enumerate(ranks)}
    known = [(t, axis) for t, axis in taps if axis > 0 and ranks.get(t, 0) >= _LEAST_RANK]
    return dict.fromkeys(sorted(known, key=lambda tap: (order[tap[0]], tap[1])))


def _attention(graph: ir.Graph, x: ir.Value, feature: Feature) -> ir.Value:
    """Returns the attention map of a feature times the root of its positions, one channel wide."""
    made = partial(appended, graph, prefix=feature.output)

    def mean(value: ir.Value, *axes: int) -> ir.Value:
        if graph.opset_imports.get("", 1) < _AXES_AS_OPERAND:
            return made("ReduceMean", value, axes=axes)
        operand = new_initializer(graph, f"{feature.output}.axes", np.array(axes, np.int64))
        return made("ReduceMean", value, operand)

    energy = mean(made("Mul", x, x), feature.axis)
    square = mean(made("Mul", energy, energy), *range(1, feature.rank))
    tiny = new_initializer(graph, f"{feature.output}.tiny", np.array(_TINY, np.float32))
    result = made("Div", energy, made("Sqrt", made("Add", square, tiny)))
    result.name = feature.output
    return result
