"""Student -> twin: the same function, in operators that the training runtime differentiates.

1. The operator set is raised to 18 where it is older.
2. Operators without gradient that lie behind parameters are lowered (`lowerings/`). A lowering
   leaves every weight as it is, under its name, and computes from it what it needs.
3. The graph is made canonical anew, which folds what lowerings compute from known sizes.
4. It is relabelled as opset 21, the newest that the runtime knows.
5. Where operators without gradient are left behind parameters, it is cut there (`cuts.py`).
6. A parameter is trained where gradients reach it (`flow.py`).

Nothing changed its meaning between opset 21 and 28: operators were re-issued for more types, or got
attributes whose default is what they did before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.errors import ModelError, TrainingError
from onnxtrim.finetune.twin.cuts import Cut, Lost, alike, is_unknown, parted
from onnxtrim.finetune.twin.flow import downstream, flow_of
from onnxtrim.finetune.twin.gradients import has_gradient
from onnxtrim.finetune.twin.lowerings import LOWERINGS, Site
from onnxtrim.finetune.twin.matching import narrowed
from onnxtrim.finetune.twin.parameters import parameters_of, statistics_of
from onnxtrim.graph import normalize
from onnxtrim.graph.constants import node_label
from onnxtrim.graph.opset import raised, relabelled
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = [
    "TOLERANCE",
    "Twin",
    "Untrained",
    "at_known_versions",
    "check_twin",
    "lowered",
    "twin_beside",
    "twin_of",
]

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
        model: the student in operators that have a gradient, where there are such.
        learner: what the training runtime gets, in opset 21 and IR version 10 at most: `model`, or
            where it is cut a part of it.
        prompter: computes inputs of the learner that are not inputs of the student, from those and
            from the `forced` tensors; None where there are none.
        forced: the tensors that the teacher has to provide.
        cuts: those of them that the learner learns, and outputs.
        trainable: the initializers to train.
        statistics: the running means and variances of batch normalisations in the learner.
        untrained: the other parameters, each with the reason.
    """

    model: ir.Model
    learner: ir.Model
    prompter: ir.Model | None
    forced: tuple[str, ...]
    cuts: tuple[Cut, ...]
    trainable: tuple[str, ...]
    statistics: tuple[str, ...]
    untrained: tuple[Untrained, ...]

    @property
    def parted(self) -> bool:
        """Whether the learner is a part of the model, or is fed more than it."""
        return bool(self.cuts) or self.prompter is not None


def twin_beside(
    student: ir.Model, teacher: ir.Model | None, sample: Arrays
) -> tuple[Twin, ir.Model | None]:
    """Returns the twin of a student, and the teacher with all that it is asked for at the cuts.

    Where the student has fewer channels at a cut, the teacher's tensor of this name has only those
    that the student has left.

    Args:
        student: a normalised model.
        teacher: another one with the same inputs; None where there is none.
        sample: inputs of both.

    Raises:
        TrainingError: the runtime cannot run it, or nothing of it can be trained.
    """
    if teacher is None:
        return twin_of(student), None
    known = alike(student, teacher, sample)
    model = lowered(student)
    parts = parted(model, _real(parameters_of(student), model), known)
    lacking = {each.tensor for each in parts.lost.values() if each.computed}
    if lacking:
        teacher = narrowed(teacher, student, lacking, sample)
        known = alike(student, teacher, sample)
    return _twin(student, model, known), teacher


def twin_of(student: ir.Model, known: Collection[str] | None = None) -> Twin:
    """Returns the twin of a normalised model, which is not changed.

    Args:
        student: the model.
        known: the tensors that a teacher computes too, in the same type and shape (`cuts.alike`);
            None where there is no teacher.

    Raises:
        TrainingError: the runtime cannot run it, or nothing of it can be trained.
    """
    return _twin(student, lowered(student), known)


def _twin(student: ir.Model, model: ir.Model, known: Collection[str] | None) -> Twin:
    """Returns the twin of a student that is lowered to a model.

    Raises:
        TrainingError: the runtime cannot run it, or nothing of it can be trained.
    """
    parameters = parameters_of(student)
    weights = model.graph.initializers
    real = _real(parameters, model)
    parts = parted(model, real, known or ())
    reached = {value.name for value in flow_of(parts.learner.graph).reached}
    trainable = tuple(name for name in real if name in reached and name not in parts.lost)
    untrained = tuple(
        _untrained(weights.get(name), name, reader, parts.lost.get(name), taught=known is not None)
        for name, reader in parameters.items()
        if name not in trainable
    )
    if not trainable:
        raise TrainingError(_nothing(untrained))
    learner = _relabelled(parts.learner)
    _name_nodes(learner.graph)
    return Twin(
        model=model,
        learner=learner,
        prompter=parts.prompter,
        forced=parts.forced,
        cuts=parts.cuts,
        trainable=trainable,
        statistics=statistics_of(learner),
        untrained=untrained,
    )


def lowered(student: ir.Model) -> ir.Model:
    """Returns a normalised model in operators that have a gradient, where there are such.

    It is of an opset that the training runtime knows, if all its operators are.

    Raises:
        TrainingError: it cannot be converted to opset 18.
    """
    model = _raised(student)
    _lower(model, parameters_of(student))
    if not any(is_unknown(node) for node in model.graph):
        model = _relabelled(model)
    return normalize(model)


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


def at_known_versions(student: ir.Model) -> ir.Model:
    """Returns a canonical clone of `student` in an opset and an IR version that the runtime knows.

    Raises:
        TrainingError: it cannot be converted to one.
    """
    return _relabelled(_raised(student))


def _raised(student: ir.Model) -> ir.Model:
    """Returns a canonical clone of `student` in opset 18 or newer.

    Raises:
        TrainingError: it cannot be converted to one.
    """
    if student.opset_imports.get("", 1) >= _OLDEST:
        return normalize(student)
    try:
        return normalize(raised(student, _OLDEST))
    except ModelError as error:
        raise TrainingError(str(error)) from error


def _relabelled(model: ir.Model) -> ir.Model:
    """Returns a clone in the versions by which the training runtime knows what it is made of."""
    clone = relabelled(model, min(model.opset_imports.get("", 1), _NEWEST))
    clone.ir_version = min(clone.ir_version, _IR_VERSION)
    return clone


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


def _real(names: Iterable[str], model: ir.Model) -> list[str]:
    """Returns the initializers among `names` whose type is trained."""
    weights = model.graph.initializers
    return [name for name in names if _type(weights.get(name)) == ir.DataType.FLOAT]


def _type(value: ir.Value | None) -> ir.DataType | None:
    """Returns the type of the elements of a tensor; None where it is not known."""
    return None if value is None else value.dtype


def _untrained(
    value: ir.Value | None, name: str, node: ir.Node, lost: Lost | None, *, taught: bool
) -> Untrained:
    """Returns why a parameter, read by a node, is not trained."""
    kind = _type(value)
    if lost is not None:
        node, sentence = lost.node, _in_the_way(lost, taught=taught)
    elif kind not in (None, ir.DataType.FLOAT):
        sentence = f"only float32 is trained, and it is {str(kind).lower()}"
    else:
        sentence = "no output depends on it in a way that has a derivative"
    return Untrained(name, node_label(node), node.op_type, sentence)


def _in_the_way(lost: Lost, *, taught: bool) -> str:
    """Returns why a parameter before a stop is not trained, and what would help."""
    lacks = "does not know" if is_unknown(lost.node) else "has no gradient for"
    sentence = f"the training runtime {lacks} {lost.node.op_type}"
    if not lost.computed:
        return sentence
    if taught:
        return f"{sentence}, and the teacher has no {lost.tensor!r} like it to learn from"
    return f"{sentence}; with --teacher, what lies before it learns from the teacher's activations"


def _nothing(reasons: Sequence[Untrained]) -> str:
    """Returns why nothing can be trained."""
    if not reasons:
        return (
            "model: nothing can be trained (it has no weights of real numbers, or they lie in the "
            "body of an If or a Loop); of a quantised model, tune the float one it was made of"
        )
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
