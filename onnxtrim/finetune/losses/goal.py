"""What outputs of a model are to become."""

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

__all__ = ["LABELS", "Goal", "GoalKind", "OwnLoss", "Slimming", "target_name"]

GoalKind = Literal["cross-entropy", "bce", "mse", "l1"]

LABELS = "labels.target"
"""The name of the input of an own loss that takes labels."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What one output is to become.

    Attributes:
        output: its name.
        kind: how the distance from the target is measured.
        temperature: what scores are divided by, in cross-entropy.
        sizes: of a sample of it: (classes, 1, ...), where classes are told apart.
        spread: the standard deviation of what the teacher answers, in mse and l1; not 0.
        weight: what its distance counts for.
        labelled: whether the target is made of labels; else of what the teacher answers.
    """

    output: str
    kind: GoalKind
    temperature: float = 1.0
    sizes: tuple[int, ...] = ()
    spread: float = 1.0
    weight: float = 1.0
    labelled: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Returns the outputs that it depends on."""
        return (self.output,)

    @property
    def target(self) -> str:
        """Returns the name of the input that takes the target."""
        return f"{self.output}.labels" if self.labelled else target_name(self.output)


@dataclass(frozen=True, slots=True)
class OwnLoss:
    """A loss that somebody wrote.

    Attributes:
        outputs: the outputs that it depends on.
        answers: the outputs of the teacher that it compares them with.
        model: outputs, then targets -> the loss, which has one element. The targets are the
            answers, or where there are none the labels, (samples,), int64.
    """

    outputs: tuple[str, ...]
    answers: tuple[str, ...]
    model: ir.Model

    @property
    def labelled(self) -> bool:
        """Whether the target is the labels."""
        return not self.answers

    @property
    def targets(self) -> tuple[str, ...]:
        """Returns the names of the inputs that take the targets."""
        return tuple(map(target_name, self.answers)) or (LABELS,)


@dataclass(frozen=True, slots=True)
class Slimming:
    """What is added to the loss whatever the samples: the sizes of weights, times a number.

    Attributes:
        scales: initializers; those that a model lacks are left out.
        weight: the number.
    """

    scales: tuple[str, ...]
    weight: float


def target_name(output: str) -> str:
    """Returns the name of the input that takes what the teacher answers for an output."""
    return f"{output}.target"
