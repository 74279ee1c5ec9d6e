"""onnxtrim: thinner, faster ONNX files, proven before they are written.

    result = onnxtrim.prune("model.onnx", data="calib/", macs=0.5)
    result.save("thin.onnx")

Everything here is loaded when first used, so that the command line starts quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxtrim.api import (
        PruneResult,
        TuneResult,
        apply,
        compare,
        fine_tune,
        inspect,
        prune,
        sensitivity,
    )
    from onnxtrim.config import DataConfig, PruneConfig
    from onnxtrim.errors import (
        BudgetError,
        DataError,
        LoadError,
        ModelError,
        OnnxtrimError,
        OutputError,
        PlanError,
        RecoveryError,
        RunError,
        ShapeError,
        TrainingError,
        UsageError,
        VerificationError,
    )
    from onnxtrim.finetune import TrainingRuntime, TrainingSetup, setup_training
    from onnxtrim.finetune.config import TuneConfig
    from onnxtrim.report import Comparison, Inspection, Report, Sensitivity, Tuning
    from onnxtrim.selection import PrunePlan

__all__ = [
    "BudgetError",
    "Comparison",
    "DataConfig",
    "DataError",
    "Inspection",
    "LoadError",
    "ModelError",
    "OnnxtrimError",
    "OutputError",
    "PlanError",
    "PruneConfig",
    "PrunePlan",
    "PruneResult",
    "RecoveryError",
    "Report",
    "RunError",
    "Sensitivity",
    "ShapeError",
    "TrainingError",
    "TrainingRuntime",
    "TrainingSetup",
    "TuneConfig",
    "TuneResult",
    "Tuning",
    "UsageError",
    "VerificationError",
    "apply",
    "compare",
    "fine_tune",
    "inspect",
    "prune",
    "sensitivity",
    "setup_training",
]

_HOMES = {
    "onnxtrim.api": (
        "PruneResult",
        "TuneResult",
        "apply",
        "compare",
        "fine_tune",
        "inspect",
        "prune",
        "sensitivity",
    ),
    "onnxtrim.config": ("DataConfig", "PruneConfig"),
    "onnxtrim.errors": tuple(name for name in __all__ if name.endswith("Error")),
    "onnxtrim.finetune": ("TrainingRuntime", "TrainingSetup", "setup_training"),
    "onnxtrim.finetune.config": ("TuneConfig",),
    "onnxtrim.report": ("Comparison", "Inspection", "Report", "Sensitivity", "Tuning"),
    "onnxtrim.selection": ("PrunePlan",),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - modules hold anything
    """Returns a public name from the module that defines it."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'onnxtrim' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names."""
    return list(__all__)
