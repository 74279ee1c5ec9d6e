"""What each output of a model is to become, from the options, the data and the outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Dataset, InputSpec
from onnxtrim.calibration.data.feeding import padded_batches
from onnxtrim.calibration.evaluate import class_scores
from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune.config import Loss, TuneConfig
from onnxtrim.finetune.losses import Goal, GoalKind
from onnxtrim.graph.logits import ends_in_softmax
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Aim", "aim_of"]


@dataclass(frozen=True, slots=True)
class Aim:
    """What is learned.

    Attributes:
        goals: one for each output of real numbers.
        labelled: whether targets are the labels; else they are what the teacher answers.
    """

    goals: tuple[Goal, ...]
    labelled: bool

    @property
    def classes(self) -> bool:
        """Whether classes are told apart, from scores before any Softmax."""
        return self.goals[0].kind == "cross-entropy"


def aim_of(
    model: ir.Model,
    data: Dataset,
    specs: Sequence[InputSpec],
    config: TuneConfig,
    *,
    taught: bool,
    batch_size: int = 64,
) -> Aim:
    """Returns what is learned.

    Distillation softens scores where they are surely those of a classifier: where the output is
    made by a Softmax, or there are labels. Elsewhere outputs are compared as they are, which for
    scores is distillation at a high temperature (Hinton et al. 2015, 2.1).

    Args:
        model: who answers on `data`: the teacher, or without one the student.
        data: held-out samples.
        specs: the inputs of the model.
        config: which loss.
        taught: whether there is a teacher.
        batch_size: samples a run, where the model leaves it open.

    Raises:
        UsageError: the loss takes labels or a teacher, and there are none.
        TrainingError: no output is of real numbers.
    """
    spreads, first, count = _looked_at(Runner(model), data, specs, batch_size)
    scores = class_scores(first, count)
    loss = _chosen(config.loss, data, scores is not None, taught)
    surely = loss == "ce" or (loss == "distill" and (data.labelled or ends_in_softmax(model)))
    if surely and scores is not None:
        (output,) = first
        temperature = 1.0 if loss == "ce" else config.temperature
        goal = Goal(output, "cross-entropy", temperature, first[output].shape[1:])
        return Aim((goal,), labelled=loss == "ce")
    kind: GoalKind = "l1" if loss == "l1" else "mse"
    goals = tuple(Goal(output, kind, spread=spread) for output, spread in spreads.items())
    return Aim(goals, labelled=False)


def _chosen(loss: Loss, data: Dataset, classifier: bool, taught: bool) -> Loss:
    """Returns the loss that `auto` stands for.

    Raises:
        UsageError: it takes labels or a teacher, and there are none.
    """
    if loss == "auto":
        loss = "ce" if data.labelled and classifier else "distill"
        if loss == "distill" and not taught:
            raise UsageError(
                "there is nothing to learn from: give the original model by --teacher, or labels "
                "for a classifier"
            )
    if loss == "ce" and not (data.labelled and classifier):
        what = "labels" if classifier else "a classifier, with one output of (samples, classes)"
        raise UsageError(f"--loss ce takes {what}; give them, or --loss distill with --teacher")
    if loss != "ce" and not taught:
        raise UsageError(f"--loss {loss} compares with a model; give it by --teacher")
    return loss


def _looked_at(
    runner: Runner, data: Dataset, specs: Sequence[InputSpec], size: int
) -> tuple[dict[str, float], Arrays, int]:
    """Returns the standard deviation of each real output, a first batch of them, and its size.

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
        raise TrainingError("no output is of float32, so there is no loss to train by")
    return {name: _spread(*moments) for name, moments in sums.items()}, first, count


def _spread(count: float, total: float, squares: float) -> float:
    """Returns the standard deviation of values, from their moments; 1 where there is none."""
    return float(max(0.0, squares / count - (total / count) ** 2)) ** 0.5 or 1.0


def _moments(outputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Returns number, sum and sum of squares of the values of each output."""
    wide = {name: array.astype(np.float64) for name, array in outputs.items()}
    return {name: np.array([a.size, a.sum(), np.sum(a**2)]) for name, a in wide.items()}
