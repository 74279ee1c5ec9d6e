"""Pictures of what the benchmarks found; takes matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["bars", "canvas", "dots", "save"]

_DPI = 100


def canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Returns an empty figure of a size in inches, and its panels, (rows, columns)."""
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def bars(axes: Any, names: Sequence[str], heights: Mapping[str, Sequence[float]]) -> None:  # noqa: ANN401
    """Draws bars side by side, a kind each, over names, each kind in a colour with its label."""
    places, width = np.arange(len(names)), 0.85 / len(heights)
    for index, (label, values) in enumerate(heights.items()):
        shift = (index - (len(heights) - 1) / 2) * width
        axes.bar(places + shift, values, width, label=label)
    axes.set_xticks(places, names, rotation=60, ha="right", fontsize="small")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if len(heights) > 1:
        axes.legend(fontsize="small")


def dots(axes: Any, runs: Mapping[str, Sequence[Mapping[str, Any]]], parent: float) -> None:  # noqa: ANN401
    """Draws the accuracy of every run in percent, a column each way, and that of the parent."""
    for place, found in enumerate(runs.values()):
        values = [100 * run["accuracy"] for run in found]
        axes.plot([place] * len(values), values, "o", color="tab:blue")
    axes.axhline(100 * parent, color="gray", linewidth=0.8)
    axes.set_xticks(range(len(runs)), list(runs))
    axes.grid(axis="y", alpha=0.3)


def save(figure: Any, path: Path) -> None:  # noqa: ANN401
    """Writes a figure as a small file, in as few colours as it needs."""
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(file).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
