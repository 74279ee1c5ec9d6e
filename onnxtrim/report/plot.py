"""Curves of sensitivity as a picture; takes matplotlib, an extra of its own."""

import importlib.util
import io
from typing import Literal

from onnxtrim.errors import UsageError
from onnxtrim.report.model import Sensitivity

__all__ = ["plotted", "require_plotting"]

_WIDTH, _HEIGHT, _LINE = 9.0, 5.5, 0.18
_DPI = 120


def require_plotting() -> None:
    """Raises UsageError where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot takes matplotlib: pip install 'onnxtrim[plot]'")


def plotted(found: Sensitivity, kind: Literal["png", "svg"]) -> bytes:
    """Returns the picture of the metric over the share removed, a line a group."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

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
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=_DPI)
    return file.getvalue()
