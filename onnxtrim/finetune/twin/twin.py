"""Student -> twin: the same function, in operators that the training runtime differentiates.

1. The operator set is one that the runtime knows: raised to 18, or relabelled as 21.
2. Operators without gradient that lie behind parameters are lowered (`lowerings/`). A lowering
   leaves every weight as it is, under its name, and computes from it what it needs.
3. The graph is made canonical anew, which folds what lowerings compute from known sizes.
4. A parameter is trained where gradients reach it and none of its paths is blocked (`flow.py`).

Nothing changed its meaning between opset 21 and 28: operators were re-issued for more types, or got
attributes whose default is what they did before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.errors import ModelError, TrainingError
from onnxtrim.finetune.twin.flow import Flow, downstream, flow_of
from onnxtrim.finetune.twin.gradients import UNKNOWN, has_gradient
from onnxtrim.finetune.twin.lowerings import LOWERINGS, Site
from onnxtrim.finetune.twin.parameters import parameters_of, statistics_of
from onnxtrim.graph import normalize
from onnxtrim.graph.constants import node_label
from onnxtrim.graph.opset import raised, relabelled
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["TOLERANCE", "Twin", "Untrained", "check_twin", "twin_of", "with_sizes"]

TOLERANCE = 1e-5
"""The largest error of a twin, relative to the largest magnitude of an output."""

_OLDEST, _NEWEST = 18, 21
_IR_VERSION = 10


@dataclass(frozen=True, slots=True)
class Untrained:
    """A parameter that stays as it is.

    Attributes:
        weight: the name of the initializer.
        node: the node that is in the way, or that reads it.
        operator: its operator.
        reason: a sentence.
    """

    weight: str
    node: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Twin:
    """What is trained.

    Attributes:
        model: opset at most 21, IR version at most 10; inputs and outputs are the student's.
        trainable: the initializers to train.
        statistics: the running means and variances of batch normalisations.
        untrained: the other parameters, each with the reason.
        types: the element types of the student's weights, by name.
    """

    model: ir.Model
    trainable: tuple[str, ...]
    statistics: tuple[str, ...]
    untrained: tuple[Untrained, ...]
    types: Mapping[str, ir.DataType]

    def restored(self, weights: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Returns weights of the twin as weights of the student: its names, shapes and types."""
        return {
            name: np.ascontiguousarray(array, dtype=self.types[name].numpy())
            for name, array in weights.items()
        }


def twin_of(student: ir.Model) -> Twin:
    """Returns the twin of a normalised model, which is not changed.

    Raises:
        TrainingError: the runtime cannot run it, or nothing of it can be trained.
    """
    parameters = parameters_of(student)
    model = _at_known_opset(student)
    _lower(model, parameters)
    unknown = [node for node in model.graph if node.domain == "" and node.op_type in UNKNOWN]
    if unknown:
        raise TrainingError(
            f"{node_label(unknown[0])}: the training runtime does not know "
            f"{unknown[0].op_type}; models with it cannot be tuned"
        )
    model = normalize(model)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    flow = flow_of(model.graph)
    untrained = {name: _untrained(model, name, node, flow) for name, node in parameters.items()}
    trainable = tuple(name for name, reason in untrained.items() if reason is None)
    if not trainable:
        raise TrainingError(_nothing([reason for reason in untrained.values() if reason]))
    _name_nodes(model.graph)
    return Twin(
        model,
        trainable,
        statistics_of(model),
        tuple(reason for reason in untrained.values() if reason is not None),
        {str(v.name): v.dtype for v in student.graph.initializers.values() if v.dtype is not None},
    )


def with_sizes(student: ir.Model, sizes: Mapping[str, Sequence[int | None]]) -> ir.Model:
    """Returns a normalised clone of `student` with known input sizes; None leaves one open.

    The more sizes are known, the more operators have a gradient: pooling, resampling, padding by
    `auto_pad`.

    Raises:
        ShapeError: the sizes contradict the graph.
    """
    clone = student.clone()
    for value in clone.graph.inputs:
        wanted = sizes.get(str(value.name))
        if wanted is not None and value.shape is not None:
            value.shape = ir.Shape(
                old if new is None else new for old, new in zip(value.shape, wanted, strict=True)
            )
    return normalize(clone)


def check_twin(student: ir.Model, twin: Twin, inputs: Arrays) -> float:
    """Returns the largest error of the twin on `inputs`, relative to the largest magnitude.

    Both run without optimisations in the current runtime.

    Raises:
        TrainingError: it is above `TOLERANCE`.
    """
    wanted = Runner(student, optimize=False)(inputs)
    found = Runner(twin.model, optimize=False)(inputs)
    worst = 0.0
    for name, want in wanted.items():
        error = _relative_error(want, found[name])
        if not error <= TOLERANCE:
            raise TrainingError(
                f"output {name!r}: the twin that would be trained differs by {error:.1e} from the "
                "model; this is a fault of onnxtrim, please report it"
            )
        worst = max(worst, error)
    return worst


def _at_known_opset(student: ir.Model) -> ir.Model:
    """Returns a canonical clone of `student` in an operator set that the runtime knows."""
    version = student.opset_imports.get("", 1)
    if version >= _OLDEST:
        return normalize(relabelled(student, min(version, _NEWEST)))
    try:
        return normalize(raised(student, _OLDEST))
    except ModelError as error:
        raise TrainingError(str(error)) from error


def _lower(model: ir.Model, parameters: Mapping[str, ir.Node]) -> None:
    """Lowers, in place, the operators without gradient that lie behind parameters."""
    graph = model.graph
    sources = {value for name, value in graph.initializers.items() if name in parameters}
    for node in list(downstream(graph, sources)):
        lowering = LOWERINGS.get(node.op_type) if node.domain == "" else None
        if lowering is None or has_gradient(node):
            continue
        site = Site(graph, node)
        result = lowering(site)
        if result is not None:
            site.finish(*(result if isinstance(result, tuple) else (result,)))


def _name_nodes(graph: ir.Graph) -> None:
    """Gives every node a name of its own; of these the runtime makes names for what it fuses."""
    for place, node in enumerate(graph):
        node.name = f"{place}.{node.op_type}"


def _untrained(model: ir.Model, name: str, node: ir.Node, flow: Flow) -> Untrained | None:
    """Returns why a parameter is not trained; None where it is."""
    value = model.graph.initializers.get(name)
    if value is None or value not in flow.reached | flow.blocked.keys():
        sentence = "no output depends on it in a way that has a derivative"
    elif value.dtype != ir.DataType.FLOAT:
        sentence = f"only float32 is trained, and it is {str(value.dtype).lower()}"
    elif value in flow.blocked:
        node = flow.blocked[value]
        sentence = f"the training runtime has no gradient for {node.op_type}"
    else:
        return None
    return Untrained(name, node_label(node), node.op_type, sentence)


def _nothing(reasons: list[Untrained]) -> str:
    """Returns why nothing can be trained."""
    if not reasons:
        return "model: nothing can be trained (it has no float weights); tune the float model"
    first = reasons[-1]
    return f"model: nothing can be trained ({first.weight}: {first.reason}, node {first.node})"


def _relative_error(want: npt.NDArray[Any], got: npt.NDArray[Any]) -> float:
    """Returns the largest difference relative to the largest magnitude."""
    if want.shape != got.shape:
        return float("inf")
    if want.dtype.kind != "f" or not want.size:
        return 0.0 if np.array_equal(want, got) else float("inf")
    scale = float(np.abs(want).max())
    return float(np.abs(want - got).max()) / (scale or 1.0)
