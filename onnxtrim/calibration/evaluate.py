"""How good a model is next to the original, on the same data: one metric that fits.

`accuracy`        share of samples whose largest output is the label, where there are labels
`agreement`       share of samples whose largest output is the original's, for classifiers
`relative_error`  ||after - before|| / ||before|| over all outputs, for everything else

Or a function of one's own: it takes a model as `onnx.ModelProto` and returns a figure, the higher
the better.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset
from onnxtrim.calibration.data.feeding import input_specs, padded_batches
from onnxtrim.calibration.measure import Progress
from onnxtrim.errors import DataError
from onnxtrim.graph.edit import in_memory
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = [
    "Evaluation",
    "Judge",
    "Metric",
    "MetricFunction",
    "check_labels",
    "class_scores",
]

MetricFunction = Callable[[Any], float]
"""A metric of one's own: `onnx.ModelProto` -> a figure, the higher the better."""

_ACCURACY, _AGREEMENT, _ERROR = "accuracy", "agreement", "relative_error"
_KEPT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure for each of two models; higher is better but for `relative_error`."""

    name: str
    before: float
    after: float

    @property
    def drop(self) -> float:
        """Returns what is lost: the error itself, or by how much a better figure falls."""
        return self.after if self.name == _ERROR else self.before - self.after


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


class Judge:
    """Says how models do next to an original: `judge(model)` returns an `Evaluation`.

    What the original answers is computed once, and kept as long as it takes at most 256 MB.

    Args:
        original: what models are compared with.
        data: what they run on.
        metric: a metric of one's own, for the one that fits.
        batch_size: inputs a run, where the model leaves it open.
        threads: threads of the runtime; 0 lets it choose.
    """

    def __init__(
        self,
        original: ir.Model,
        data: Dataset,
        *,
        metric: MetricFunction | None = None,
        batch_size: int = 64,
        threads: int = 0,
    ) -> None:
        """Runs nothing yet."""
        self._data, self._specs = data, input_specs(original)
        self._original, self._metric = original, metric
        self._batch_size, self._threads = batch_size, threads
        self._answers: list[Arrays] | None = None
        self._figure: float | None = None

    def __call__(self, model: ir.Model, progress: Progress | None = None) -> Evaluation:
        """Returns how `model` does on all of the data.

        Raises:
            DataError: the interfaces differ, labels do not fit, or the own metric fails.
        """
        tally, done = _Tally(), 0
        runner = Runner(model, threads=self._threads)
        with closing(self._answered()) as answered:
            for batch, old in answered:
                new = _real(runner(batch.inputs), batch.count, batch.length)
                tally.add(old, new, batch.labels, batch.count)
                done += batch.count
                if progress is not None:
                    progress("evaluating", done, len(self._data))
        found = tally.evaluation()
        if self._metric is None:
            return found
        if self._figure is None:
            self._figure = _figure(self._metric, self._original)
        own = Metric(_name(self._metric), self._figure, _figure(self._metric, model))
        return replace(found, metric=own)

    def _answered(self) -> Generator[tuple[Batch, Arrays], None, None]:
        """Yields every batch with what the original answers."""
        with closing(padded_batches(self._data, self._specs, self._batch_size)) as batches:
            if self._answers is not None:
                yield from zip(batches, self._answers, strict=True)
                return
            runner = Runner(self._original, threads=self._threads)
            kept: list[Arrays] | None = []
            room = _KEPT_BYTES
            for batch in batches:
                answers = _real(runner(batch.inputs), batch.count, batch.length)
                room -= sum(array.nbytes for array in answers.values())
                if kept is not None:
                    kept.append(answers)
                if room < 0:
                    kept = None
                yield batch, answers
            self._answers = kept


def _figure(metric: MetricFunction, model: ir.Model) -> float:
    """Returns what a metric of one's own says of a model.

    Raises:
        DataError: it raises, or what it returns is no finite number.
    """
    try:
        value = float(metric(ir.to_proto(in_memory(model))))
    except Exception as error:  # whatever the function of a user raises
        reason = " ".join(str(error).split())
        raise DataError(
            f"--metric {_name(metric)}: {type(error).__name__}: {reason}; it takes an "
            "onnx.ModelProto and returns a figure"
        ) from error
    if not np.isfinite(value):
        raise DataError(f"--metric {_name(metric)}: returned {value}; return a finite figure")
    return value


def _name(metric: MetricFunction) -> str:
    """Returns what a metric of one's own is called; never like one of those here."""
    name = str(getattr(metric, "__name__", type(metric).__name__))
    return f"own {name}" if name in (_ACCURACY, _AGREEMENT, _ERROR) else name


def _real(outputs: Arrays, count: int, length: int) -> Arrays:
    """Returns outputs without the samples that only filled a batch of `length` up."""
    return {k: a[:count] if a.ndim and len(a) == length else a for k, a in outputs.items()}


def class_scores(outputs: Arrays, count: int) -> npt.NDArray[Any] | None:
    """Returns the (count, classes) scores of a classifier; None where it is none."""
    if len(outputs) != 1:
        return None
    (scores,) = outputs.values()
    if scores.ndim and len(scores) != count:
        return None
    if scores.dtype.kind != "f" or scores.ndim < 2 or scores.shape[1] < 2:
        return None
    return scores.reshape(scores.shape[:2]) if scores.size == np.prod(scores.shape[:2]) else None


def check_labels(labels: npt.NDArray[np.int64], classes: int) -> None:
    """Raises DataError for a label that is no class of the model."""
    wrong = labels[(labels >= classes) | (labels < 0)]
    if wrong.size:
        raise DataError(
            f"label {wrong[0]} is none of the {classes} classes of the model, which count from 0; "
            "correct labels.csv or the names of the class folders"
        )


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
        scores = class_scores(old, count), class_scores(new, count)
        if scores[0] is None or scores[1] is None:
            self._classifier = False
            return
        tops = [s.argmax(axis=1) for s in scores if s is not None]
        self._samples += len(tops[0])
        self._agreed += int(np.sum(tops[0] == tops[1]))
        self._labelled = self._labelled and labels is not None
        if labels is not None:
            check_labels(labels, scores[0].shape[1])
            for i, top in enumerate(tops):
                self._right[i] += int(np.sum(top == labels))

    def evaluation(self) -> Evaluation:
        """Returns what the batches add up to."""
        error = (self._difference / self._magnitude) ** 0.5 if self._magnitude else 0.0
        agreement = self._agreed / self._samples if self._classifier else None
        if agreement is None:
            metric = Metric(_ERROR, 0.0, error)
        elif self._labelled:
            before, after = (right / self._samples for right in self._right)
            metric = Metric(_ACCURACY, before, after)
        else:
            metric = Metric(_AGREEMENT, 1.0, agreement)
        return Evaluation(metric, agreement, error)
