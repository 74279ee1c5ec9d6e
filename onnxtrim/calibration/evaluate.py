"""How good a model is next to the original, on the same data.

`accuracy`        share of samples whose largest output is the label, where there are labels
`agreement`       share of samples whose largest output is the original's, for classifiers
`relative_error`  ||after - before|| / ||before|| over all outputs, for everything else
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.dataset import Dataset
from onnxtrim.calibration.feeding import input_specs, padded_batches
from onnxtrim.calibration.measure import Progress
from onnxtrim.errors import DataError
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Evaluation", "Metric", "MetricName", "evaluate_pair"]

MetricName = Literal["accuracy", "agreement", "relative_error"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure for each of two models; higher is better but for `relative_error`."""

    name: MetricName
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How two models compare on the same data.

    Attributes:
        metric: the one that fits the data and the outputs best.
        agreement: share of samples with the same largest output; None for no classifier.
        relative_error: of the outputs of `after` against those of `before`.
    """

    metric: Metric
    agreement: float | None
    relative_error: float


def evaluate_pair(
    before: ir.Model,
    after: ir.Model,
    data: Dataset,
    *,
    batch_size: int = 64,
    threads: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Returns how both models do on all of `data`."""
    runners = Runner(before, threads=threads), Runner(after, threads=threads)
    tally = _Tally()
    done = 0
    for batch in padded_batches(data, input_specs(before), batch_size):
        old, new = (_real(runner(batch.inputs), batch.count, batch.length) for runner in runners)
        tally.add(old, new, batch.labels, batch.count)
        done += batch.count
        if progress is not None:
            progress("evaluating", done, len(data))
    return tally.evaluation()


def _real(outputs: Arrays, count: int, length: int) -> Arrays:
    """Returns outputs without the samples that only filled a batch of `length` up."""
    return {k: a[:count] if a.ndim and len(a) == length else a for k, a in outputs.items()}


def _class_scores(outputs: Arrays, count: int) -> npt.NDArray[Any] | None:
    """Returns the (count, classes) scores of a classifier; None where it is none."""
    if len(outputs) != 1:
        return None
    (scores,) = outputs.values()
    if scores.ndim and len(scores) != count:
        return None
    if scores.dtype.kind != "f" or scores.ndim < 2 or scores.shape[1] < 2:
        return None
    return scores.reshape(scores.shape[:2]) if scores.size == np.prod(scores.shape[:2]) else None


class _Tally:
    """Counts over batches, from which every metric can be had."""

    def __init__(self) -> None:
        """Starts at zero."""
        self._samples = 0
        self._right = [0, 0]
        self._agreed = 0
        self._labelled = self._classifier = True
        self._difference = self._magnitude = 0.0

    def add(
        self, old: Arrays, new: Arrays, labels: npt.NDArray[np.int64] | None, count: int
    ) -> None:
        """Adds one batch of `count` samples: the outputs of both models."""
        for name, a in old.items():
            if a.dtype.kind in "fiu":
                wanted, got = a.astype(np.float64), new[name].astype(np.float64)
                if wanted.shape != got.shape:
                    raise DataError(
                        f"output {name!r} has sizes {got.shape} after and {wanted.shape} before; "
                        "compare models of one interface"
                    )
                self._difference += float(np.sum((got - wanted) ** 2))
                self._magnitude += float(np.sum(wanted**2))
        scores = _class_scores(old, count), _class_scores(new, count)
        if scores[0] is None or scores[1] is None:
            self._classifier = False
            return
        tops = [s.argmax(axis=1) for s in scores if s is not None]
        self._samples += len(tops[0])
        self._agreed += int(np.sum(tops[0] == tops[1]))
        self._labelled = self._labelled and labels is not None
        if labels is not None:
            classes = scores[0].shape[1]
            wrong = labels[(labels >= classes) | (labels < 0)]
            if wrong.size:
                raise DataError(
                    f"label {wrong[0]} is none of the {classes} classes of the model, which "
                    "count from 0; correct labels.csv or the names of the class folders"
                )
            for i, top in enumerate(tops):
                self._right[i] += int(np.sum(top == labels))

    def evaluation(self) -> Evaluation:
        """Returns what the batches add up to."""
        error = (self._difference / self._magnitude) ** 0.5 if self._magnitude else 0.0
        agreement = self._agreed / self._samples if self._classifier else None
        if agreement is None:
            metric = Metric("relative_error", 0.0, error)
        elif self._labelled:
            before, after = (right / self._samples for right in self._right)
            metric = Metric("accuracy", before, after)
        else:
            metric = Metric("agreement", 1.0, agreement)
        return Evaluation(metric, agreement, error)
