"""Every error that onnxtrim raises on purpose.

    OnnxtrimError                 exit status
    ├── UsageError                     2    an option, or two together, make no sense
    │   └── OutputError                2    the output cannot be written where it was asked for
    ├── ModelError                     3    the model cannot be used
    │   ├── RunError                   3    ... because ONNX Runtime fails on the inputs
    │   ├── LoadError                  3    ... because it cannot be read
    │   └── ShapeError                 3    ... because its shapes contradict each other
    ├── DataError                      3    the calibration data cannot be used
    ├── PlanError                      3    the plan does not fit the model
    ├── TrainingError                  3    the training runtime is missing or does not train
    ├── BudgetError                    1    no plan meets the budget
    ├── RecoveryError                  1    the model was pruned, but could not be tuned
    └── VerificationError              1    the cut model is not what the masked original computes

A message is one line: what, where, what to do.
"""

from pathlib import Path
from typing import ClassVar, Protocol

__all__ = [
    "BudgetError",
    "DataError",
    "LoadError",
    "ModelError",
    "OnnxtrimError",
    "OutputError",
    "PlanError",
    "RecoveryError",
    "Reproducer",
    "RunError",
    "ShapeError",
    "TrainingError",
    "UsageError",
    "VerificationError",
]


class OnnxtrimError(Exception):
    """Root of the tree; `exit_status` is what the command line ends with."""

    exit_status: ClassVar[int] = 3


class UsageError(OnnxtrimError):
    """An option is invalid, or two options contradict each other."""

    exit_status = 2


class OutputError(UsageError):
    """The output cannot be written where it was asked for."""


class ModelError(OnnxtrimError):
    """The model cannot be used."""


class LoadError(ModelError):
    """The model cannot be read."""


class RunError(ModelError):
    """ONNX Runtime fails when the model runs on the inputs given."""


class ShapeError(ModelError):
    """The shapes of the model contradict each other, or cannot be inferred."""


class DataError(OnnxtrimError):
    """The calibration data cannot be read or does not fit the model."""


class PlanError(OnnxtrimError):
    """The plan does not fit the model."""


class TrainingError(OnnxtrimError):
    """The training runtime is missing, cannot be installed, or does not train."""


class BudgetError(OnnxtrimError):
    """No plan meets the budget."""

    exit_status = 1


class RecoveryError(OnnxtrimError):
    """The model was pruned, but could not be tuned."""

    exit_status = 1


class Reproducer(Protocol):
    """What it takes to see a failure again; it can be written to a folder."""

    def save(self, folder: Path) -> Path:
        """Returns the folder, which now holds the reproducer."""
        ...


class VerificationError(OnnxtrimError):
    """The cut model does not compute what the masked original computes.

    Attributes:
        reproducer: the model, the plan and the inputs that show it, where they are known.
    """

    exit_status = 1
    reproducer: Reproducer | None = None
