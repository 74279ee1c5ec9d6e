"""What fine-tuning gives back."""

import os
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from onnxtrim.graph.save import save_apart
from onnxtrim.report import Tuning

__all__ = ["TuneResult"]


@dataclass(frozen=True, slots=True)
class TuneResult:
    """A model that has learned.

    Attributes:
        model: the model.
        report: what it learned, from what, and how well it does now.
        sources: the files that the models were read from; they are never written over.
    """

    model: ir.Model
    report: Tuning
    sources: tuple[Path, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Returns `path`, which now holds the model; it appears whole or not at all.

        Raises:
            OutputError: it cannot be written there, or a model was read from there.
        """
        return save_apart(self.model, path, self.sources)
