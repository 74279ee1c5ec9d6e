"""Maps, scores, plans -> rows of a report."""

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration import Dataset, Latency, Measurements, skipped
from onnxtrim.channels import ChannelGroup, ChannelMap, Kept
from onnxtrim.graph.runtime import RUNTIME_VERSION
from onnxtrim.report.model import BarrierRow, FrozenRow, GroupRow, MetricValue, Side, Spread
from onnxtrim.selection import Cost, CostModel
from onnxtrim.selection.align import Alignment, step_taken

__all__ = [
    "barrier_rows",
    "data_facts",
    "environment",
    "frozen_rows",
    "group_rows",
    "side",
    "skipped_warnings",
    "uncounted_warnings",
    "with_unit_costs",
]

_PACKAGES = ("onnxtrim", "onnx", "onnx-ir", "numpy")


def side(
    cost: Cost,
    file_bytes: int,
    latency: Latency | None = None,
    metric: MetricValue | None = None,
) -> Side:
    """Returns one side of a before-and-after."""
    return Side(cost.params, cost.macs, file_bytes, latency, metric)


def group_rows(
    channel_map: ChannelMap,
    kept: Kept,
    alignment: Alignment | None,
    scores: Mapping[str, npt.NDArray[np.float64]] | None = None,
    measurements: Measurements | None = None,
) -> tuple[GroupRow, ...]:
    """Returns a row for every group that can be cut."""
    known = scores or {}
    return tuple(
        GroupRow(
            name=group.name,
            before=group.width,
            after=width,
            step=None if alignment is None else step_taken(group, width, alignment),
            score=_spread(known[group.name]) if group.name in known else None,
            statistics=_statistics(group, measurements),
            tensors=group.tensors,
        )
        for group in channel_map.groups
        for width in (int(np.count_nonzero(kept.stays[group.units])),)
    )


def with_unit_costs(
    rows: tuple[GroupRow, ...], channel_map: ChannelMap, costs: CostModel
) -> tuple[GroupRow, ...]:
    """Returns the rows with what the model saves when one unit of the group goes."""
    now = costs.now()
    found = []
    for row, group in zip(rows, channel_map.groups, strict=True):
        less = costs.after(channel_map.without(group.units[:1]))
        macs, params = now.macs - less.macs, now.params - less.params
        found.append(replace(row, unit_macs=macs, unit_params=params))
    return tuple(found)


def frozen_rows(channel_map: ChannelMap) -> tuple[FrozenRow, ...]:
    """Returns a row for every group that stays whole, with its reason."""
    return tuple(
        FrozenRow(group.name, group.width, str(reason.code), reason.sentence, reason.node)
        for group in channel_map.frozen_groups
        if (reason := group.reason) is not None
    )


def barrier_rows(channel_map: ChannelMap) -> tuple[BarrierRow, ...]:
    """Returns a row for every node that freezes all it touches."""
    return tuple(BarrierRow(r.node, str(r.code), r.sentence) for r in channel_map.barriers)


def data_facts(data: Dataset, held_out: Dataset | None = None) -> dict[str, object]:
    """Returns what a report says of calibration data: how much, which, what was left out."""
    facts: dict[str, object] = {"samples": len(data), "fingerprint": data.fingerprint}
    left_out = skipped(data)
    if left_out:
        facts["skipped"] = list(left_out)
    if held_out is not None:
        facts["held_out"] = len(held_out)
    return facts


def skipped_warnings(data: Dataset | None) -> tuple[str, ...]:
    """Returns a warning where samples could not be read and were left out, else nothing."""
    left_out = () if data is None else skipped(data)
    if not left_out:
        return ()
    others = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return (f"{left_out[0]}{others} could not be read and were left out, as --skip-bad asks",)


def uncounted_warnings(costs: CostModel) -> tuple[str, ...]:
    """Returns a warning where MACs are left out, else nothing."""
    if not costs.uncounted:
        return ()
    first, more = costs.uncounted[0], len(costs.uncounted) - 1
    others = f" and {more} more" if more else ""
    return (
        f"the MACs of {first}{others} are not counted: no rule describes the operator, or its "
        "sizes are not known",
    )


def environment() -> dict[str, str]:
    """Returns the versions and the machine that the figures belong to."""
    versions = {package: _version(package) for package in _PACKAGES}
    versions["onnxruntime"] = RUNTIME_VERSION  # whichever of its several packages it came in
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count() or 0),
    }
    return versions | machine


def _version(package: str) -> str:
    """Returns the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _spread(scores: npt.NDArray[np.float64]) -> Spread:
    """Returns the smallest, middle and largest score."""
    return Spread(float(scores.min()), float(np.median(scores)), float(scores.max()))


def _statistics(group: ChannelGroup, measurements: Measurements | None) -> dict[str, float]:
    """Returns the mean of each measured statistic over the taps of a group."""
    if measurements is None:
        return {}
    found: dict[str, list[float]] = {}
    for tap in group.taps:
        for name, values in measurements.statistics.get((tap.tensor, tap.axis), {}).items():
            found.setdefault(name, []).append(float(np.mean(values)))
    return {name: float(np.mean(values)) for name, values in found.items()}
