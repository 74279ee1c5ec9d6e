"""What all steps of a run have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnxtrim.calibration import Dataset, Judge, MetricFunction
from onnxtrim.channels import ChannelMap
from onnxtrim.recover import Recovery
from onnxtrim.schedule.budget import Goal, goal_of
from onnxtrim.schedule.config import RunConfig
from onnxtrim.schedule.stride import units_of
from onnxtrim.search import judge_of, parts_of
from onnxtrim.subject import Subject

__all__ = ["Course", "Run", "course_of"]


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for.

    Attributes:
        first: the original.
        channel_map: its groups, as far as they may be cut.
        config: all options.
        settings: what the report says of them.
        metric: what results go by, where it is one of the user's own.
        recovery: how cut models are tuned; None where they are not.
    """

    first: Subject
    channel_map: ChannelMap
    config: RunConfig
    settings: Mapping[str, object]
    metric: MetricFunction | None
    recovery: Recovery | None

    @property
    def widths(self) -> dict[str, int]:
        """Returns the widths of the original's groups, by name."""
        return {group.name: group.width for group in self.channel_map.groups}

    @property
    def whole(self) -> dict[tuple[str, int], int]:
        """Returns the widths of the original's axes."""
        return {key: len(units) for key, units in self.first.channel_map.axes.items()}


@dataclass(frozen=True, slots=True)
class Course:
    """What all steps of a run have in common.

    Attributes:
        run: what was asked for.
        learning: the samples that are measured, and may be fitted to; None without data.
        held_out: the samples that results are judged by, where they are kept apart.
        judge: says how models do next to the original; None without data.
        goal: where the run leads.
    """

    run: Run
    learning: Dataset | None
    held_out: Dataset | None
    judge: Judge | None
    goal: Goal


def course_of(run: Run) -> Course:
    """Returns a run made ready."""
    first, config = run.first, run.config
    learning, held_out = parts_of(first.data, config.pruning)
    data = learning if held_out is None else held_out
    return Course(
        run=run,
        learning=learning,
        held_out=held_out,
        judge=judge_of(first, data, run.metric, config.reading),
        goal=goal_of(first, units_of(run.channel_map), config.pruning, config.reading.threads),
    )
