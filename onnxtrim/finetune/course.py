"""A run of training: steps, looks at held-out samples after each epoch, and the best weights."""

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from onnxtrim.errors import TrainingError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.interrupt import end_asked
from onnxtrim.finetune.lessons import Lessons
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.finetune.schedule import orders_of
from onnxtrim.graph.runtime import Arrays
from onnxtrim.report import Look

__all__ = ["Course", "Pace", "Record", "learn", "look_at", "mean_loss"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a run is: the step that was taken, of so many, its loss and rate, and the time.

    And the epoch and the batch in it that the step was of, from 1.
    """

    step: int
    steps: int
    loss: float
    rate: float
    images_s: float
    seconds_left: float
    epoch: int
    epochs: int
    batch: int
    batches: int


@dataclass(frozen=True, slots=True)
class Course:
    """A run that is prepared.

    Attributes:
        lessons: what to learn from.
        exam: what says how well.
        config: how long, and how fast.
        best: where the best weights go.
        watch: called after each step.
    """

    lessons: Lessons
    exam: Lessons
    config: TuneConfig
    best: Path
    watch: Callable[[Pace], None] | None = None

    @property
    def last(self) -> Path:
        """Returns where the last weights go."""
        return self.best.with_name(f"last-{self.best.name}")

    @property
    def slimmed(self) -> bool:
        """Whether the last weights are the result, as far as there are such."""
        return self.config.slim > 0 and self.last.exists()


@dataclass(slots=True)
class Record:
    """What has happened in a run.

    Attributes:
        looks: at the start, and after each epoch.
        steps: how many were taken.
        samples: how many were seen, those that were seen again counted again.
        seconds: spent on steps.
        interrupted: whether Ctrl-C was pressed.
        troubles: what ended the run before its time, and what could not be done, a sentence each.
    """

    looks: list[Look]
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    troubles: list[str] = field(default_factory=list)

    @property
    def best(self) -> Look:
        """Returns the look with the least loss, the first of several."""
        return min(self.looks, key=lambda look: look.loss)

    @property
    def late(self) -> int:
        """Returns how many looks there were since the best one."""
        return len(self.looks) - 1 - self.looks.index(self.best)


def learn(trainer: RemoteTrainer, course: Course, record: Record) -> None:
    """Trains, notes what happens, and has the best weights saved.

    A worker that dies after something was learned is a trouble to be noted, not an error.

    Raises:
        TrainingError: it dies before.
    """
    with end_asked() as ended:
        try:
            for epoch in range(course.config.epochs):
                _train(trainer, course, record, epoch, ended)
                if not record.troubles:
                    look_at(trainer, course, record)
                late = record.late >= course.config.patience and not course.config.slim
                if record.troubles or record.interrupted or late:
                    break
        except TrainingError as error:
            if not record.best.step:
                raise
            record.troubles.append(f"stopped after step {record.steps}: {error}")


def mean_loss(losses: Iterable[tuple[float, int]]) -> float:
    """Returns the mean of losses, each of which counts for so many samples."""
    table = np.array(list(losses))
    with np.errstate(invalid="ignore"):  # of losses that are infinite there is no mean
        return float(np.average(table[:, 0], weights=table[:, 1]))


def _train(
    trainer: RemoteTrainer, course: Course, record: Record, epoch: int, ended: Callable[[], bool]
) -> None:
    """Takes the steps of one epoch, until it ends, the loss is no number, or the user ends it."""
    config, batches = course.config, len(course.lessons)
    orders = list(orders_of(batches, epoch, config))
    steps = sum(order.step for order in orders) * config.epochs
    start, spent = time.perf_counter(), record.seconds
    sent = map(asdict, orders)
    with closing(_answers(trainer, "train", course.lessons.epoch(epoch), sent)) as answers:
        for place, (order, (loss, count)) in enumerate(zip(orders, answers, strict=False)):
            record.steps += order.step
            record.samples += count
            record.seconds = spent + time.perf_counter() - start
            _note_no_number(loss, record)
            if record.troubles:
                return
            if course.watch is not None:
                seen = epoch * batches + place + 1
                left = record.seconds / seen * (config.epochs * batches - seen)
                pace = record.samples / record.seconds
                where = (epoch + 1, config.epochs, place + 1, batches)
                course.watch(Pace(record.steps, steps, loss, order.rate, pace, left, *where))
            if ended():
                record.interrupted = True
                return


def look_at(trainer: RemoteTrainer, course: Course, record: Record) -> None:
    """Notes the loss on held-out samples, and has the weights saved where it is the least yet."""
    answers = _answers(trainer, "evaluate", course.exam.weighed(), itertools.repeat({}))
    look = Look(record.steps, mean_loss(answers))
    if not record.looks or look.loss < record.best.loss:
        trainer.ask("save", path=str(course.best))
    record.looks.append(look)
    _note_no_number(look.loss, record)


def _note_no_number(loss: float, record: Record) -> None:
    """Notes a trouble where a loss is infinite or no number."""
    if not math.isfinite(loss):
        record.troubles.append(f"stopped after step {record.steps}: the loss is {loss}; lower --lr")


def _answers(
    trainer: RemoteTrainer,
    verb: str,
    batches: Iterable[tuple[Arrays, int]],
    orders: Iterable[Mapping[str, float]],
) -> Generator[tuple[float, int], None, None]:
    """Yields loss and size of each batch; the next is made ready while the worker is at one."""
    sent: int | None = None
    for (arrays, count), order in zip(batches, orders, strict=False):
        place = trainer.place(arrays)
        if sent is not None:
            yield float(trainer.answer()["loss"]), sent
        trainer.send(verb, batch=place, **order)
        sent = count
    if sent is not None:
        yield float(trainer.answer()["loss"]), sent
