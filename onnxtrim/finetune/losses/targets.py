"""The targets of a batch, from its labels or from what a teacher answers to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch
from onnxtrim.calibration.evaluate import check_labels
from onnxtrim.finetune.losses.goal import LABELS, Goal, OwnLoss
from onnxtrim.graph.runtime import Arrays

__all__ = ["one_hot", "softened", "targets_of"]


def targets_of(
    goals: Sequence[Goal | OwnLoss], batch: Batch, answers: Mapping[str, npt.NDArray[Any]]
) -> Arrays:
    """Returns the target of every goal by the name of its input.

    Args:
        goals: what is learned.
        batch: the samples; one that was filled up repeats its last label.
        answers: what the teacher answers to them; nothing where only labels are learned.

    Raises:
        DataError: a label is no class of the model.
    """
    found: Arrays = {}
    for goal in goals:
        if isinstance(goal, Goal):
            found[goal.target] = _labelled(goal, batch) if goal.labelled else _taught(goal, answers)
        elif goal.labelled:
            found[LABELS] = _labels(batch)
        else:
            taught = zip(goal.targets, goal.answers, strict=True)
            found |= {target: answers[output] for target, output in taught}
    return found


def softened(scores: npt.NDArray[Any], temperature: float) -> npt.NDArray[np.float32]:
    """Returns softmax(scores / temperature) over axis 1."""
    scaled = scores.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype("f4")
    return shares


def one_hot(labels: npt.NDArray[np.int64], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Returns targets of (samples, classes, 1, ...): 1 at the label, 0 elsewhere."""
    return np.eye(shape[1], dtype=np.float32)[labels].reshape(shape)


def _taught(goal: Goal, answers: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Returns the target that the answers of a teacher are."""
    answer = answers[goal.output]
    if goal.kind == "cross-entropy":
        return softened(answer, goal.temperature)
    if goal.kind == "bce":
        # By tanh, which no score is too large for.
        return (0.5 + 0.5 * np.tanh(answer.astype(np.float64) / 2)).astype(np.float32)
    return answer


def _labelled(goal: Goal, batch: Batch) -> npt.NDArray[np.float32]:
    """Returns the target that the labels are: one-hot, or 0 and 1 of an output with one score.

    Raises:
        DataError: a label is no class of the model.
    """
    labels, classes = _labels(batch), goal.sizes[0]
    check_labels(labels, max(2, classes))
    shape = (len(labels), *goal.sizes)
    return labels.astype(np.float32).reshape(shape) if classes == 1 else one_hot(labels, shape)


def _labels(batch: Batch) -> npt.NDArray[np.int64]:
    """Returns the labels, one for each row of the batch."""
    if batch.labels is None:
        raise ValueError("there are no labels and no teacher")
    return np.pad(batch.labels, (0, batch.length - batch.count), mode="edge")
