"""What each output of a model is to become, from the options, the data and the outputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnxtrim.calibration.data.dataset import Dataset, InputSpec
from onnxtrim.calibration.data.feeding import first_batch, padded_batches
from onnxtrim.calibration.evaluate import class_scores
from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.losses import Goal, GoalKind, OwnLoss
from onnxtrim.finetune.losses.features import Feature, features_of, with_features
from onnxtrim.finetune.losses.own import own_loss
from onnxtrim.finetune.runtime.find import TrainingRuntime
from onnxtrim.finetune.twin.twin import at_known_versions
from onnxtrim.graph.logits import Ending, ends_in, without_ending
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Aim", "aim_of", "answering", "relative", "relevant"]

_ENDINGS: Mapping[GoalKind, Ending] = {"cross-entropy": "softmax", "bce": "sigmoid"}
"""What is taken off outputs, so that they are scores."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is learned.

    Attributes:
        goals: what outputs and features are to become; those of outputs first.
        loss: what is made small, by the name of its option.
        features: what is compared beside the outputs.
    """

    goals: tuple[Goal | OwnLoss, ...]
    loss: str
    features: tuple[Feature, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether all targets are the labels."""
        return all(goal.labelled for goal in self.goals)

    @property
    def learned_from(self) -> tuple[str, ...]:
        """What the targets are: `labels`, what the `teacher` answers, or both."""
        labels = ("labels",) if any(goal.labelled for goal in self.goals) else ()
        return labels if self.labelled else (*labels, "teacher")

    @property
    def outputs(self) -> frozenset[str]:
        """The outputs and features that the loss depends on."""
        return frozenset(name for goal in self.goals for name in goal.outputs)

    @property
    def classes(self) -> bool:
        """Whether classes are told apart."""
        return any(
            goal.labelled or (isinstance(goal, Goal) and goal.kind == "cross-entropy")
            for goal in self.goals
        )


def answering(model: ir.Model, aim: Aim) -> ir.Model:
    """Returns a clone whose outputs are what an aim is about: scores, not probabilities; features.

    Where the loss is somebody's own, it has an operator set that the training runtime knows.
    """
    model = at_known_versions(model) if any(isinstance(g, OwnLoss) for g in aim.goals) else model
    for kind, ending in _ENDINGS.items():
        names = {g.output for g in aim.goals if isinstance(g, Goal) and g.kind == kind}
        model = without_ending(model, names, ending)
    return with_features(model, aim.features)


def relevant(model: ir.Model, aim: Aim) -> ir.Model:
    """Returns a clone without the outputs that the loss does not depend on, and what they need."""
    clone = model.clone()
    kept = [value for value in clone.graph.outputs if value.name in aim.outputs]
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(kept)
    RemoveUnusedNodesPass()(clone)
    return clone


def aim_of(
    student: ir.Model,
    teacher: ir.Model | None,
    data: Dataset,
    specs: Sequence[InputSpec],
    config: TuneConfig,
    *,
    batch_size: int,
    runtime: TrainingRuntime,
) -> Aim:
    """Returns what is learned.

    Distillation softens scores where they are surely those of a classifier: where the output is
    made by a Softmax, or there are labels. Elsewhere outputs are compared as they are, which for
    scores is distillation at a high temperature (Hinton et al. 2015, 2.1).

    Args:
        student: who learns.
        teacher: a model of the same interface, if there is one.
        data: held-out samples.
        specs: the inputs of both.
        config: which loss.
        batch_size: samples a run, where the model leaves it open.
        runtime: what knows the blocks of an own loss.

    Raises:
        UsageError: the loss takes labels or a teacher, and there are none; an output that is
            weighted does not exist; a loss of one's own fails.
        TrainingError: no output is of real numbers.
    """
    model, taught = teacher or student, teacher is not None
    features: tuple[Feature, ...] = ()
    if config.features:
        if teacher is None:
            raise UsageError("--features compares with a model; give it by --teacher")
        features = features_of(student, teacher, first_batch(data, list(specs), 1)[0])
    seen = _looked_at(Runner(with_features(model, features)), data, specs, batch_size)
    shares = _shares(config, seen, features)
    loss = _chosen(config.loss, data, seen.only(shares), taught)
    goals: tuple[Goal | OwnLoss, ...]
    if ":" in loss:
        goals = (own_loss(loss, student, tuple(shares), runtime, labelled=not taught),)
    elif loss == "bce":
        goals = _binary_goals(model, seen, shares, labelled=not taught)
    else:
        softened = data.labelled or any(ends_in(model, name, "softmax") for name in shares)
        goals = _goals(loss, config, seen, shares, softened=softened)
    beside = tuple(_feature_goal(f, seen, config.features / len(features)) for f in features)
    return Aim(goals + beside, loss, features)


def relative(goals: Sequence[Goal], batches: Iterable[Arrays]) -> list[Goal]:
    """Returns goals that are compared relative to the spread of their targets in some batches."""
    if not goals:
        return []
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for batch in batches:
        for name, moments in _moments({goal.output: batch[goal.target] for goal in goals}).items():
            sums[name] = sums.get(name, 0) + moments
    return [replace(goal, spread=_spread(*sums[goal.output])) for goal in goals]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What outputs of float32 are like.

    Attributes:
        spreads: the standard deviation of each.
        first: a first batch.
        count: how many samples that is.
    """

    spreads: dict[str, float]
    first: Arrays
    count: int

    def only(self, names: Mapping[str, float]) -> "_Seen":
        """Returns what some of the outputs are like."""
        kept = {name: self.spreads[name] for name in names}
        return _Seen(kept, {name: self.first[name] for name in names}, self.count)

    @property
    def classifier(self) -> bool:
        """Whether the only output has a score for each of two classes or more."""
        return class_scores(self.first, self.count) is not None

    @property
    def scored(self) -> bool:
        """Whether the only output has a score for each class, or one score."""
        shapes = [array.shape for array in self.first.values()]
        one = len(shapes) == 1 and len(shapes[0]) > 1 and shapes[0][0] == self.count
        return one and all(size == 1 for size in shapes[0][2:])


def _goals(
    loss: str,
    config: TuneConfig,
    seen: _Seen,
    shares: Mapping[str, float],
    *,
    softened: bool,
) -> tuple[Goal, ...]:
    """Returns the goals of outputs, `softened` where they are scores of a classifier."""
    (output, *_) = shares
    sizes = seen.first[output].shape[1:]
    told = Goal(output, "cross-entropy", 1.0, sizes, labelled=True)
    taught = Goal(output, "cross-entropy", config.temperature, sizes)
    if loss == "ce":
        return (told,)
    if loss == "ce+distill":
        share = config.distill_weight
        return replace(told, weight=1 - share), replace(taught, weight=share)
    if loss == "distill" and softened and seen.only(shares).classifier:
        return (taught,)
    kind: GoalKind = "l1" if loss == "l1" else "mse"
    return tuple(
        Goal(name, kind, spread=seen.spreads[name], weight=share) for name, share in shares.items()
    )


def _binary_goals(
    model: ir.Model, seen: _Seen, shares: Mapping[str, float], *, labelled: bool
) -> tuple[Goal, ...]:
    """Returns the goals of outputs that are yes or no, element by element.

    Raises:
        UsageError: an output is made of probabilities, and not by a Sigmoid at its end.
    """
    for name in shares:
        scores = seen.first[name]
        within = scores.min() >= 0 and scores.max() <= 1 and scores.min() < scores.max()
        if within and not ends_in(model, name, "sigmoid"):
            raise UsageError(
                f"--loss bce takes scores, or what a Sigmoid makes of them at the end; output "
                f"{name!r} is in [0, 1] and neither; give --loss mse, or --output-weight {name}=0"
            )
    return tuple(
        Goal(name, "bce", sizes=seen.first[name].shape[1:], weight=share, labelled=labelled)
        for name, share in shares.items()
    )


def _feature_goal(feature: Feature, seen: _Seen, weight: float) -> Goal:
    """Returns the goal of a feature; maps have a length of their own."""
    spread = 1.0 if feature.mapped else seen.spreads[feature.output]
    return Goal(feature.output, "mse", spread=spread, weight=weight)


def _shares(config: TuneConfig, seen: _Seen, features: Sequence[Feature]) -> dict[str, float]:
    """Returns what each output counts for, all together 1; those that count nothing are left out.

    Raises:
        UsageError: an output that is weighted does not exist, or none counts.
    """
    beside = {feature.output for feature in features}
    weights = {name: 1.0 for name in seen.spreads if name not in beside}
    for name, weight in config.output_weights.items():
        if name not in weights:
            raise UsageError(
                f"--output-weight {name}={weight:g}: there is no such output of float32; there is "
                f"{', '.join(weights)}"
            )
        weights[name] = weight
    total = sum(weights.values())
    if not total:
        raise UsageError("--output-weight: no output has a weight above 0; give one to one of them")
    return {name: weight / total for name, weight in weights.items() if weight}


def _chosen(loss: str, data: Dataset, seen: _Seen, taught: bool) -> str:
    """Returns the loss that `auto` stands for.

    Raises:
        UsageError: it takes labels or a teacher, and there are none.
    """
    if loss == "auto":
        loss = "ce" if data.labelled and seen.classifier else "distill"
        if loss == "distill" and not taught:
            raise UsageError(
                "there is nothing to learn from: give the original model by --teacher, or labels "
                "for a classifier"
            )
    if loss in ("ce", "ce+distill") and not (data.labelled and seen.classifier):
        what = (
            "labels" if seen.classifier else "a classifier, with one output of (samples, classes)"
        )
        raise UsageError(f"--loss {loss} takes {what}; give them, or --loss distill with --teacher")
    if loss == "bce" and data.labelled and not taught and not seen.scored:
        raise UsageError(
            "--loss bce takes labels for one output of (samples, classes); give the original model "
            "by --teacher"
        )
    by_labels = loss == "ce" or (data.labelled and (loss == "bce" or ":" in loss))
    if not by_labels and not taught:
        labels = " or labels" if loss == "bce" or ":" in loss else ""
        raise UsageError(f"--loss {loss} compares with a model; give it by --teacher{labels}")
    return loss


def _looked_at(runner: Runner, data: Dataset, specs: Sequence[InputSpec], size: int) -> _Seen:
    """Returns what the outputs are like on all samples.

    Raises:
        TrainingError: no output is of real numbers.
    """
    sums: dict[str, npt.NDArray[np.float64]] = {}
    first: Arrays = {}
    count = 0
    for batch in padded_batches(data, list(specs), size):
        outputs = {k: a for k, a in runner(batch.inputs).items() if a.dtype == np.float32}
        if not first:
            first, count = outputs, batch.length
        for name, moments in _moments(outputs).items():
            sums[name] = sums.get(name, 0) + moments
    if not sums:
        raise TrainingError(
            "no output is of float32, so there is no loss to train by; tune the model in float32"
        )
    return _Seen({name: _spread(*moments) for name, moments in sums.items()}, first, count)


def _spread(count: float, total: float, squares: float) -> float:
    """Returns the standard deviation of values, from their moments; 1 where there is none."""
    return float(max(0.0, squares / count - (total / count) ** 2)) ** 0.5 or 1.0


def _moments(outputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Returns number, sum and sum of squares of the values of each output."""
    wide = {name: array.astype(np.float64) for name, array in outputs.items()}
    return {name: np.array([a.size, a.sum(), np.sum(a**2)]) for name, a in wide.items()}
