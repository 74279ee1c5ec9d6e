"""What it takes to see a failed verification again."""

import zipfile
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
        with zipfile.ZipFile(folder / "inputs.npz", "w") as archive:  # inputs may bear any name
            for name, array in self.inputs.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        return folder
