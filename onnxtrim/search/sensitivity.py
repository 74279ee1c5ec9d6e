"""How much the outputs suffer from each group alone: curves over the share removed.

For every group, the units of lowest score go in a few portions, everything else stays, and the
model is judged. The curves also share a budget among the groups (`--allocate sensitivity`). The
squared relative errors of groups add up where their effects are independent, so that the thinnest
model for a given error takes next the unit with the least

    slope(g, r) = (e_g^2(r) - e_g^2(r - 1)) / (what the r-th unit of group g saves)

where e_g^2 is the curve, between its points a line, below which it is bent until it is convex: the
units of a group then go in the order of their scores.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration import Progress
from onnxtrim.channels import ChannelGroup
from onnxtrim.config import PruneConfig
from onnxtrim.report import Curve, CurvePoint
from onnxtrim.search.trials import Bench
from onnxtrim.selection import Queue
from onnxtrim.selection.layers import share_of

__all__ = ["allocated", "curves_of", "saved_by_unit"]


def curves_of(
    bench: Bench,
    queues: Mapping[str, Queue],
    config: PruneConfig,
    points: int,
    progress: Progress | None = None,
) -> tuple[Curve, ...]:
    """Returns the curve of every group, at up to `points` even shares up to `max_layer_ratio`."""
    groups = bench.channel_map.groups
    found = []
    for index, group in enumerate(groups):
        most = min(share_of(group.width, config.max_layer_ratio), group.width - 1)
        counts = np.unique(np.linspace(0, most, points + 1).round().astype(int))[1:]
        found.append(_curve(bench, group, queues[group.name], [int(n) for n in counts]))
        if progress is not None:
            progress("trying groups", index + 1, len(groups))
    return tuple(found)


def _curve(bench: Bench, group: ChannelGroup, queue: Queue, counts: Sequence[int]) -> Curve:
    """Returns the curve of one group at the given counts."""
    points = []
    for count in counts:
        removed = np.sort(queue.units[:count])
        found = bench.quality(removed)
        left = bench.macs_left(removed)
        points.append(CurvePoint(count, left, found.metric.after, found.relative_error))
    return Curve(group.name, group.width, tuple(points))


def allocated(
    bench: Bench, queues: Mapping[str, Queue], curves: Sequence[Curve], config: PruneConfig
) -> dict[str, Queue]:
    """Returns the queues with keys that share a budget among groups by their curves."""
    groups = {group.name: group for group in bench.channel_map.groups}
    found = {}
    for curve in curves:
        queue = queues[curve.group]
        saved = saved_by_unit(bench, queue, groups[curve.group], config)
        found[curve.group] = Queue(queue.units, _slopes(curve) / saved)
    return found


def saved_by_unit(bench: Bench, queue: Queue, group: ChannelGroup, config: PruneConfig) -> float:
    """Returns what a unit of a group saves on average: MACs, or parameters if only they count."""
    costs, most = bench.subject.costs, max(share_of(group.width, config.max_layer_ratio), 1)
    before, after = costs.now(), costs.after(bench.channel_map.without(queue.units[:most]))
    by_macs = config.macs is not None or (config.params is None and config.size is None)
    saved = before.macs - after.macs if by_macs else before.params - after.params
    return max(saved / most, 1.0)


def _slopes(curve: Curve) -> npt.NDArray[np.float64]:
    """Returns the slope of the convex curve at each unit, (width,); it never falls."""
    removed = [0, *(point.removed for point in curve.points)]
    squared = [0.0, *(point.relative_error**2 for point in curve.points)]
    corners = [0]
    for index in range(1, len(removed)):
        corners.append(index)
        while len(corners) > 2 and _bulges(removed, squared, *corners[-3:]):
            del corners[-2]
    places = np.arange(curve.width + 1)
    line = np.interp(places, [removed[c] for c in corners], [squared[c] for c in corners])
    slopes = np.maximum(np.diff(line), 0.0)
    slopes[removed[-1] :] = np.inf  # what was not tried goes last
    return np.maximum.accumulate(slopes)


def _bulges(x: Sequence[int], y: Sequence[float], a: int, b: int, c: int) -> bool:
    """Returns whether point b lies on or above the line from a to c."""
    return (y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a])
