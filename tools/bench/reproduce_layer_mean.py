"""Criteria of gradually global pruning with and without the mean of each layer; prints JSON.

    python tools/bench/reproduce_layer_mean.py ASSETS --model vgg-cifar.onnx [--train 5000]

Scores of different layers are out of balance, so Wang et al. (2017) divide each by the mean of its
layer before all are sorted together. The network is that of `tools/train_models.py --cifar`; 30 %
of its units go at once, one by one and nothing else (no steps of channels, no floor but one channel
a layer, no compensation), by mean, deviation and AAWS, and the same share of every layer
(`proportional`, by AAWS). Accuracy is that on the 10,000 test images, before and after one epoch of
`--train` training images with labels. The parent, tuned as long, is the fair mark.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from cifar import cifar
from compensation import judge_of
from drawing import canvas
from reproducing import conclude, left, options
from tuning import Labelled, first, tuned

import onnxtrim
from onnxtrim.calibration import Judge, measure
from onnxtrim.config import CriterionName, DataConfig, Normalization
from onnxtrim.criteria import CRITERIA, score_groups
from onnxtrim.graph import load, normalize
from onnxtrim.report import environment
from onnxtrim.subject import prepare

Scores = dict[str, npt.NDArray[np.float64]]

CALIBRATION = 2_000
NAMES: tuple[CriterionName, ...] = ("mean", "std", "aaws")
NORMALIZATIONS: tuple[Normalization, ...] = ("none", "layer-mean")
PUBLISHED = {"mean": 0.8435, "std": 0.8188, "aaws": 0.8689, "proportional": 0.8654}
"""Accuracies of the paper, with the mean of each layer and after tuning; 0.8732 before."""

PLAIN: dict[str, Any] = {
    "ratio": 0.3,
    "align": "none",
    "compensate": "none",
    "allocate": "scores",
    "max_layer_ratio": 1.0,
}
WAYS: dict[str, dict[str, Any]] = {
    **{
        f"{name}, {normalization}": {"criterion": name, "normalize": normalization}
        for name in NAMES
        for normalization in NORMALIZATIONS
    },
    "proportional": {"criterion": "aaws", "scope": "layer"},
}
TUNING: dict[str, Any] = {"epochs": 1, "batch_size": 64, "lr": 1e-3}


def scores_of(path: Path, data: Labelled, threads: int) -> dict[str, Scores]:
    """Returns the scores of every layer by every criterion, as they are."""
    subject = prepare(path, data, DataConfig(threads=threads))
    assert subject.data is not None
    found: dict[str, Scores] = {}
    groups = subject.channel_map.groups
    for name in NAMES:
        rule = CRITERIA[name]
        taps = [tap for group in groups for tap in rule.taps(group)]
        seen = measure(subject.model, taps, rule.statistics, subject.data, threads=threads)
        scored = score_groups(subject.model, subject.channel_map, rule, seen)
        found[name] = dict(scored.scores)
    return found


def row(
    path: Path, data: tuple[Labelled, Labelled], judge: Judge, way: dict[str, Any], threads: int
) -> dict[str, Any]:
    """Returns what is left of the network, and how good that is before and after tuning."""
    calibration, train = data
    result = onnxtrim.prune(path, calibration, threads=threads, **PLAIN, **way)
    report = result.report
    return {
        **way,
        **left(report),
        "accuracy_cut": judge(result.model).metric.after,
        **after_tuning(result.model, train, judge, threads),
    }


def after_tuning(model: ir.Model, train: Labelled, judge: Judge, threads: int) -> dict[str, Any]:
    """Returns how good a model is after it has learned."""
    learned, facts = tuned(model, train, None, {**TUNING, "threads": threads})
    accuracy = judge(learned).metric.after
    print(f"tuned: {accuracy:.2%}", flush=True)
    return {"accuracy_tuned": accuracy, "loss": facts["loss"], "steps": facts["steps"]}


def summary(scores: Scores) -> dict[str, dict[str, float]]:
    """Returns mean, smallest and largest score of each layer."""
    return {
        layer: {"mean": float(s.mean()), "min": float(s.min()), "max": float(s.max())}
        for layer, s in scores.items()
    }


def draw(scores: dict[str, Scores]) -> Any:  # noqa: ANN401
    """Returns the picture: scores of each layer as they are, and divided by its mean."""
    figure, panels = canvas(2, len(scores), (12, 6.5))
    for column, (name, layers) in enumerate(scores.items()):
        divided = [s / s.mean() for s in layers.values()]
        for panel, values in zip(panels[:, column], (list(layers.values()), divided), strict=True):
            panel.boxplot(values, widths=0.7, flierprops={"markersize": 1.5})
            ordered = np.sort(np.concatenate(values))
            panel.axhline(ordered[round(0.3 * len(ordered))], color="tab:red", linewidth=0.8)
            panel.set_xticks(range(1, len(layers) + 1), list(layers), rotation=70, fontsize=6)
            panel.grid(axis="y", alpha=0.3)
        panels[0, column].set(title=name, yscale="log")
    panels[0, 0].set(ylabel="score (none)")
    panels[1, 0].set(ylabel="score / mean of its layer (layer-mean)")
    return figure


def main() -> None:
    """Cuts and tunes the network by every criterion."""
    parser = options(__doc__, "layer_mean")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--model", type=Path, default=Path("vgg-cifar.onnx"))
    parser.add_argument("--train", type=int, default=5_000)
    arguments: argparse.Namespace = parser.parse_args()
    train = cifar(arguments.assets, "train", arguments.train)
    data, threads = (first(train, CALIBRATION), train), arguments.threads
    judge = judge_of(arguments.model, cifar(arguments.assets, "test", 10_000))
    scores = scores_of(arguments.model, data[0], threads)
    parent = normalize(load(arguments.model))
    found: dict[str, Any] = {
        "environment": environment(),
        "calibration_images": CALIBRATION,
        "training_images": arguments.train,
        "tuning": TUNING,
        "published_accuracy": PUBLISHED,
        "accuracy": judge(parent).metric.after,
        "parent": after_tuning(parent, train, judge, threads),
        "widths": {layer: len(each) for layer, each in scores["aaws"].items()},
        "rows": [],
    }
    for name, way in WAYS.items():
        found["rows"].append({"name": name, **row(arguments.model, data, judge, way, threads)})
        print(name, found["rows"][-1]["accuracy_cut"], flush=True)
    found["scores"] = {name: summary(each) for name, each in scores.items()}
    conclude(arguments, found, draw(scores))


if __name__ == "__main__":
    main()
