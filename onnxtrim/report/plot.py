"""Trajectories, and curves of sensitivity, as pictures; takes matplotlib, an extra of its own."""

import importlib.util
import io
import math
from typing import TYPE_CHECKING, Literal

from onnxtrim.errors import UsageError
from onnxtrim.report.model import Report, Sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plotted", "require_plotting"]

_WIDTH, _HEIGHT, _LINE = 9.0, 5.5, 0.18
_DPI = 120


def require_plotting() -> None:
    """Raises UsageError where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot takes matplotlib: pip install 'onnxtrim[plot]'")


def plotted(found: Report | Sensitivity, kind: Literal["png", "svg"]) -> bytes:
    """Returns the picture of a document."""
    figure = _trajectory(found) if isinstance(found, Report) else _curves(found)
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=_DPI)
    return file.getvalue()


def _trajectory(found: Report) -> "Figure":
    """Returns the metric before and after tuning, and what is left, step by step."""
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    numbers = range(1, len(found.steps) + 1)
    before = found.before
    cut = [math.nan if s.metric is None else s.metric.value for s in found.steps]
    tuned = [math.nan if s.metric_tuned is None else s.metric_tuned.value for s in found.steps]
    above.plot(numbers, cut, marker="o", markersize=3, label="cut")
    if not all(map(math.isnan, tuned)):
        above.plot(numbers, tuned, marker="o", markersize=3, label="tuned")
    if before.metric is not None:
        above.axhline(before.metric.value, color="gray", linewidth=1, label="original")
        above.set_ylabel(before.metric.name)
    for name, values, whole in (
        ("parameters", [step.params for step in found.steps], before.params),
        ("MACs", [step.macs for step in found.steps], before.macs),
    ):
        shares = [value / max(whole, 1) for value in values]
        below.plot(numbers, shares, marker="o", markersize=3, label=name)
    below.set(xlabel="step", ylabel="share left")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    above.set_title(f"{found.model.name}: step by step")
    return figure


def _curves(found: Sensitivity) -> "Figure":
    """Returns the metric over the share removed, a line a group."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    height = max(_HEIGHT, _LINE * len(found.curves) + 1)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot(xlabel="share of the group removed", ylabel=found.whole.name)
    colors = colormaps["turbo"].resampled(len(found.curves) + 1)  # its last is hard to see
    for index, curve in enumerate(found.curves):
        shares = [0.0, *(point.removed / curve.width for point in curve.points)]
        figures = [found.whole.value, *(point.metric for point in curve.points)]
        axes.plot(shares, figures, color=colors(index), marker="o", markersize=3, label=curve.group)
    axes.set_title(f"{found.model.name}: sensitivity to each group alone")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="x-small")
    return figure
