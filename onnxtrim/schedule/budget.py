"""Where the loop leads: budgets in absolute figures of the original, whole or a share of the way.

After k of n even steps towards a limit b of a figure that was w, there may remain

    w - (w - b) k / n

and of the share r of N removable units, r N k / n are gone. Time is asked for at the end only:
it can be measured, but not foreseen.
"""

from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxtrim.calibration import paired_latency
from onnxtrim.config import PruneConfig
from onnxtrim.graph.save import saved_bytes
from onnxtrim.selection import Budget, Cost, milliseconds
from onnxtrim.selection.layers import share_of
from onnxtrim.subject import Subject

__all__ = ["Goal", "goal_of"]

_GLANCE = 0.5
"""Seconds of timing, to see whether a model is fast enough."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What may remain of a model in the end.

    Attributes:
        first: the original.
        units: how many of its units could be removed.
        counted: MACs, parameters, and bytes of the file.
        gone: how many units are to go at least.
        latency: milliseconds a run; None where nothing is asked.
        threads: threads of the runtime.
    """

    first: Subject
    units: int
    counted: Budget
    gone: int
    latency: float | None
    threads: int

    @property
    def asks(self) -> bool:
        """Returns whether there is any such goal."""
        return self.counted.asks or self.gone > 0 or self.latency is not None

    def met(self, subject: Subject, units: int) -> bool:
        """Returns whether a model that has this many removable units left is thin enough."""
        now, limit = subject.costs.now(), self.counted
        counted = replace(limit, size=None).met_by(now) and (
            limit.size is None or saved_bytes(subject.model) <= limit.size
        )
        return (
            counted
            and self.units - units >= self.gone
            and (self.latency is None or self._milliseconds(subject.model) <= self.latency)
        )

    def passed(self, cost: Cost, units: int) -> bool:
        """Returns whether a model of this cost is thin enough, by what can be counted."""
        return self.counted.met_by(cost) and self.units - units >= self.gone

    def after(self, config: PruneConfig, units: int, share: float) -> PruneConfig:
        """Returns the options of a step that ends where this share of the way is done.

        Args:
            config: the options of the run.
            units: how many removable units the step begins with.
            share: in (0, 1].
        """
        first, limit = self.first, self.counted
        now = first.costs.now()
        lack = round(self.gone * share) - (self.units - units)
        return replace(
            config,
            ratio=lack / units if lack > 0 else None,
            macs=_between(now.macs, limit.macs, share),
            params=_between(now.params, limit.params, share),
            size=_between(first.bytes, limit.size, share),
            latency=None if self.latency is None or share < 1 else f"{self.latency:.6f}ms",
            max_drop=None,
        )

    def _milliseconds(self, model: ir.Model) -> float:
        """Returns how long a run of a model takes."""
        first = self.first
        pair = paired_latency(
            first.model, model, first.single_input, threads=self.threads, seconds=_GLANCE
        )
        return pair.after.median


def goal_of(first: Subject, units: int, config: PruneConfig, threads: int) -> Goal:
    """Returns the budgets of a run in absolute figures of the original.

    Args:
        first: the original.
        units: how many of its units can be removed.
        config: the options of the run.
        threads: threads of the runtime.

    Raises:
        UsageError: an amount cannot be read.
    """
    limit = None
    if config.latency is not None:
        pair = paired_latency(first.model, first.model, first.single_input, threads=threads)
        limit = milliseconds("--latency", config.latency, pair.before.median)
    return Goal(
        first=first,
        units=units,
        counted=Budget.of(config, first.costs.now(), first.bytes, 0),
        gone=share_of(units, config.ratio or 0.0),
        latency=limit,
        threads=threads,
    )


def _between(whole: int, limit: int | None, share: float) -> int | None:
    """Returns what may remain once this share of the way from `whole` to `limit` is done."""
    return None if limit is None else max(2, round(whole - (whole - limit) * share))
