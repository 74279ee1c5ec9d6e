"""What fine-tuning gives back."""

import os
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from onnxtrim.finetune.tune import Tuned
from onnxtrim.graph import save
from onnxtrim.graph.save import refuse_overwriting

__all__ = ["TuneResult"]


@dataclass(frozen=True, slots=True)
class TuneResult:
    """A model that has learned.

    Attributes:
        tuned: what was learned, the model among it.
        metric: what `before` and `after` are, on held-out samples: accuracy where there are labels,
            else agreement with the teacher, else the error of the outputs.
        before: of the model as it was.
        after: of the model that has learned.
        seconds: how long it took in all.
        sources: the files that the models were read from; they are never written over.
    """

    tuned: Tuned
    metric: str
    before: float
    after: float
    seconds: float
    sources: tuple[Path, ...] = ()

    @property
    def model(self) -> ir.Model:
        """Returns the model."""
        return self.tuned.model

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Returns `path`, which now holds the model; it appears whole or not at all.

        Raises:
            OutputError: it cannot be written there, or a model was read from there.
        """
        refuse_overwriting((Path(path), Path(f"{path}.data")), self.sources)
        return save(self.model, path)
