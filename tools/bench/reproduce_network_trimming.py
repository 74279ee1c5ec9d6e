"""Network Trimming of a LeNet on MNIST, round by round; prints JSON.

    python tools/bench/reproduce_network_trimming.py ASSETS --model lenet-mnist.onnx

The recipe `network-trimming` (Hu et al. 2016): channels whose APoZ is more than a deviation above
the mean of their layer go, those that stay are retrained, and again. The network, 20-50-500, is
that of `tools/train_models.py --mnist`. APoZ is measured on training images; it learns from the
60,000 of them, with labels; accuracy is that on the 10,000 test images, which nothing is chosen by:
the last round that loses no more than so many points is looked up afterwards. The parent, trained
further as long as a round, is the fair mark.
"""

import argparse
from pathlib import Path
from typing import Any

import onnx
from compensation import judge_of
from drawing import canvas
from reproducing import conclude, options
from tuning import Labelled, first, mnist, tuned

import onnxtrim
from onnxtrim.calibration import Judge
from onnxtrim.graph import load, normalize
from onnxtrim.report import Report, environment

CALIBRATION = 5_000
MARKS = (0.001, 0.003)
"""Points of accuracy that may be lost: what is asked, and how far it goes beyond."""

PUBLISHED = (
    {"widths": [20, 41, 426], "compression": 1.41, "before": 0.9875, "after": 0.9929},
    {"widths": [20, 31, 349], "compression": 2.24, "before": 0.9534, "after": 0.9930},
    {"widths": [20, 26, 293], "compression": 3.11, "before": 0.8821, "after": 0.9925},
    {"widths": [20, 24, 252], "compression": 3.85, "before": 0.9675, "after": 0.9926},
)
"""Rows of the paper, as they are remembered; 0.9931 before."""


def rounds(
    path: Path, calibration: Labelled, train: Labelled, judge: Judge, recipe: dict[str, Any]
) -> Report:
    """Returns the report of the recipe, whose metric is the accuracy on the test images."""

    def accuracy(model: onnx.ModelProto) -> float:
        return judge(normalize(load(model))).metric.after

    return onnxtrim.prune(
        path,
        calibration,
        train_data=train,
        recipe="network-trimming",
        metric=accuracy,
        max_drop=1.0,
        **recipe,
    ).report


def table(report: Report) -> list[dict[str, Any]]:
    """Returns the rounds as the paper has them."""
    return [
        {
            "widths": list(step.widths.values()),
            "compression": round(report.before.params / step.params, 2),
            "params": step.params,
            "macs": step.macs,
            "before": step.metric.value,
            "after": step.metric_tuned.value,
        }
        for step in report.steps
        if step.metric is not None and step.metric_tuned is not None
    ]


def reached(rows: list[dict[str, Any]], parent: float, points: float) -> dict[str, Any] | None:
    """Returns the thinnest round that loses no more than so many points."""
    good = [row for row in rows if parent - row["after"] <= points + 1e-9]
    return max(good, key=lambda row: row["compression"], default=None)


def draw(found: dict[str, Any]) -> Any:  # noqa: ANN401
    """Returns the picture: accuracy over compression, before and after retraining."""
    figure, panels = canvas(1, 1, (7, 4.5))
    axes = panels[0, 0]
    for label, rows, style in (
        ("here", found["rows"], "-"),
        ("paper", found["published"], "--"),
    ):
        compression = [row["compression"] for row in rows]
        for when, color in (("before", "tab:red"), ("after", "tab:blue")):
            values = [100 * row[when] for row in rows]
            axes.plot(compression, values, style, marker="o", color=color, markersize=4)
            axes.lines[-1].set_label(f"{label}, {when} retraining")
    axes.axhline(100 * found["accuracy"], color="gray", linewidth=0.8, label="parent")
    axes.set(xlabel="compression (parameters before / after)", ylabel="accuracy, %", ylim=(85, 100))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def main() -> None:
    """Trims and retrains, round by round."""
    parser = options(__doc__, "network_trimming")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--model", type=Path, default=Path("lenet-mnist.onnx"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=1)
    arguments: argparse.Namespace = parser.parse_args()
    train, test = (mnist(arguments.assets, part) for part in ("train", "test"))
    recipe: dict[str, Any] = {
        "steps": arguments.rounds,
        "epochs": arguments.epochs,
        "batch_size": 64,
        "threads": arguments.threads,
    }
    judge = judge_of(arguments.model, test)
    report = rounds(arguments.model, first(train, CALIBRATION), train, judge, recipe)
    parent = normalize(load(arguments.model))
    accuracy = judge(parent).metric.after
    further, _ = tuned(parent, train, None, {n: v for n, v in recipe.items() if n != "steps"})
    rows = table(report)
    found = {
        "environment": environment(),
        "recipe": recipe,
        "calibration_images": CALIBRATION,
        "accuracy": accuracy,
        "accuracy_trained_further": judge(further).metric.after,
        "rows": rows,
        "reached": {str(points): reached(rows, accuracy, points) for points in MARKS},
        "published": PUBLISHED,
        "seconds": report.timings_s,
    }
    conclude(arguments, found, draw(found))


if __name__ == "__main__":
    main()
