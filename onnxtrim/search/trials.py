"""Plans tried out: cut, timed next to the original, judged by what they answer.

Nothing is proven here; the plan that is taken is, before it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxtrim.calibration import (
    Dataset,
    Evaluation,
    Judge,
    LatencyPair,
    MetricFunction,
    paired_latency,
)
from onnxtrim.calibration.moments import Moments
from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.config import DataConfig
from onnxtrim.errors import UsageError
from onnxtrim.graph.save import saved_bytes
from onnxtrim.selection import make_plan
from onnxtrim.subject import Subject
from onnxtrim.surgery import cut
from onnxtrim.surgery.compensate import compensated
from onnxtrim.surgery.reconstruct import reconstructed

__all__ = ["Bench", "judge_of"]

_PREVIEW_REFRESH = 2
"""Layers that are fitted in one pass where plans are only compared."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where plans for one model are tried.

    Attributes:
        subject: the model.
        channel_map: its groups, as far as they may be cut.
        judge: says how models do next to it; None without data.
        reading: how the runtime runs.
        moments: of what readers read; with them, models are compensated before they are judged.
        few: a judge by few samples, where one is needed.
        some: the samples that a preview is fitted to.
        grow: whether the file may grow by biases.
    """

    subject: Subject
    channel_map: ChannelMap
    judge: Judge | None
    reading: DataConfig
    moments: Mapping[str, Moments] = field(default_factory=dict)
    few: Judge | None = None
    some: Dataset | None = None
    grow: bool = True

    def thinner(self, removed: Ids) -> ir.Model:
        """Returns the model without the units `removed`, unproven."""
        weights = self.subject.model.graph.initializers
        plan = make_plan(self.channel_map, weights, removed, self.subject.facts.sha256)
        return cut(self.subject.model, self.channel_map, plan)

    def macs_left(self, removed: Ids) -> float:
        """Returns what the model still computes without the units `removed`, as a fraction."""
        costs = self.subject.costs
        return costs.after(self.channel_map.without(removed)).macs / max(costs.now().macs, 1)

    def latency(self, removed: Ids, seconds: float) -> LatencyPair:
        """Returns the times of both models, from pairs of runs for about `seconds`."""
        subject = self.subject
        return paired_latency(
            subject.model,
            self.thinner(removed),
            subject.single_input,
            threads=self.reading.threads,
            seconds=seconds,
        )

    def quality(self, removed: Ids) -> Evaluation:
        """Returns how the model does without the units `removed`.

        Raises:
            ValueError: there are no data to judge by.
        """
        if self.judge is None:
            raise ValueError("quality takes data")
        return self.judge(self._mended(removed))

    def glance(self, removed: Ids) -> float:
        """Returns the relative error of the outputs without the units `removed`, on few samples.

        Raises:
            ValueError: there are no data to judge by.
        """
        if self.few is None:
            raise ValueError("a glance takes data")
        return self.few(self._mended(removed)).relative_error

    def preview(self, removed: Ids) -> Evaluation:
        """Returns how the model does without the units `removed`, compensated, on few samples.

        As for the result, it is the best way that counts.

        Raises:
            ValueError: there are no data.
        """
        if self.few is None or self.some is None:
            raise ValueError("a preview takes data")
        thinner, kept = self.thinner(removed), self.channel_map.without(removed)
        found = compensated(
            self.subject.model,
            thinner,
            kept,
            self.some,
            "linear",
            refresh=_PREVIEW_REFRESH,
            grow=self.grow,
            batch_size=self.reading.batch_size,
            threads=self.reading.threads,
        )
        ways = [self.few(found.model)]
        if self.moments:
            ways.append(self.few(self._mended(removed)))
        return min(ways, key=lambda way: way.relative_error)

    def _mended(self, removed: Ids) -> ir.Model:
        """Returns the model without the units `removed`; readers with moments are compensated."""
        thinner, kept = self.thinner(removed), self.channel_map.without(removed)
        if not self.moments:
            return thinner
        return reconstructed(self.subject.model, thinner, kept, self.moments, grow=self.grow)

    def size(self, removed: Ids) -> int:
        """Returns the size of the file without the units `removed`."""
        return saved_bytes(self.thinner(removed))


def judge_of(
    subject: Subject, data: Dataset | None, metric: MetricFunction | None, reading: DataConfig
) -> Judge | None:
    """Returns what says how models do next to a subject on `data`; None without any.

    Raises:
        UsageError: there is a metric of one's own, and no data to look at it beside.
    """
    if data is None:
        if metric is not None:
            raise UsageError("--metric is looked at where the model runs on samples; give --data")
        return None
    return Judge(
        subject.model,
        data,
        metric=metric,
        batch_size=reading.batch_size,
        threads=reading.threads,
    )
