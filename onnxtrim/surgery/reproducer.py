"""What it takes to see a failed verification again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxtrim.graph import save
from onnxtrim.graph.runtime import Arrays
from onnxtrim.selection.plan import PrunePlan

__all__ = ["FailedCut"]


@dataclass(frozen=True, slots=True)
class FailedCut:
    """The normalised model, the plan that could not be proven, and the inputs that show it."""

    model: ir.Model
    plan: PrunePlan
    inputs: Arrays

    def save(self, folder: Path) -> Path:
        """Returns `folder`, which now holds `model.onnx`, `plan.json` and `inputs.npz`."""
        folder.mkdir(parents=True, exist_ok=True)
        save(self.model, folder / "model.onnx")
        (folder / "plan.json").write_text(self.plan.to_json(), encoding="utf-8")
        np.savez(folder / "inputs.npz", allow_pickle=False, **self.inputs)
        return folder
