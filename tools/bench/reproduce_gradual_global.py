"""Gradually global pruning of a VGG-like network on CIFAR-10; prints JSON.

    python tools/bench/reproduce_gradual_global.py ASSETS --model vgg-cifar.onnx [--seeds 0 1 2]

About 30 % of the units go, as in Wang et al. (2017), by the recipe `gradual-global` with mean,
deviation and AAWS, and by `proportional`: `--rounds` rounds that remove the same share of what is
left, each followed by one epoch of `--train` training images with labels. All four have the same
budget of tuning; seeds are those of the order of samples and of how they are shifted. The network
is that of `tools/train_models.py --cifar`; accuracy is that on the 10,000 test images, next to that
of the parent tuned for as many epochs.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cifar import cifar
from compensation import judge_of
from drawing import bars, canvas, dots
from reproducing import conclude, left, mean_accuracies, options
from tuning import Labelled, first, tuned

import onnxtrim
from onnxtrim.calibration import Judge
from onnxtrim.graph import load, normalize
from onnxtrim.report import environment

CALIBRATION = 2_000
REMOVED = 1 - 3310 / 4736
"""As in the paper, to the unit there."""

WAYS: dict[str, dict[str, Any]] = {
    "mean": {"recipe": "gradual-global", "criterion": "mean"},
    "std": {"recipe": "gradual-global", "criterion": "std"},
    "aaws": {"recipe": "gradual-global", "criterion": "aaws"},
    "proportional": {"recipe": "proportional", "criterion": "aaws"},
}
PUBLISHED = {"mean": 0.8435, "std": 0.8188, "aaws": 0.8689, "proportional": 0.8654}
"""Accuracies of the paper; 0.8732 before."""

PLAIN: dict[str, Any] = {"align": "none", "max_layer_ratio": 1.0, "max_drop": 1.0}


def row(
    path: Path, train: Labelled, judge: Judge, way: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """Returns what is left of the network, and how good that is."""
    rounds = given["steps"]
    share = 1 - (1 - REMOVED) ** (1 / rounds)
    result = onnxtrim.prune(
        path,
        first(train, CALIBRATION),
        train_data=train,
        per_step=share,
        ratio=REMOVED,
        **{**PLAIN, **way, **given},
    )
    report = result.report
    return {
        **left(report),
        "accuracy": judge(result.model).metric.after,
        "rounds": len(report.steps),
    }


def draw(found: dict[str, Any]) -> Any:  # noqa: ANN401
    """Returns the picture: the share of each layer that is kept, and the accuracies."""
    figure, panels = canvas(1, 2, (12, 4.5))
    layers, whole = list(found["widths"]), list(found["widths"].values())
    kept = {
        name: [
            float(np.mean([run["kept"][layer] for run in runs])) / width
            for layer, width in zip(layers, whole, strict=True)
        ]
        for name, runs in found["runs"].items()
    }
    bars(panels[0, 0], layers, kept)
    panels[0, 0].set(title="share of the channels that is kept")
    axes = panels[0, 1]
    dots(axes, found["runs"], found["parent"]["accuracy"])
    published = [100 * PUBLISHED[name] for name in found["runs"]]
    axes.plot(range(len(published)), published, "x", color="tab:red")
    axes.set(title="accuracy, %: here (dots), in the paper (crosses), parent (line)")
    return figure


def main() -> None:
    """Prunes by every criterion, over seeds."""
    parser = options(__doc__, "gradual_global")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--model", type=Path, default=Path("vgg-cifar.onnx"))
    parser.add_argument("--train", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments: argparse.Namespace = parser.parse_args()
    train = cifar(arguments.assets, "train", arguments.train)
    judge = judge_of(arguments.model, cifar(arguments.assets, "test", 10_000))
    given = {"steps": arguments.rounds, "epochs": 1, "batch_size": 64, "threads": arguments.threads}
    parent = normalize(load(arguments.model))
    alone = {"epochs": arguments.rounds, "batch_size": 64, "threads": arguments.threads}
    further, _ = tuned(parent, train, None, alone)
    found: dict[str, Any] = {
        "environment": environment(),
        "calibration_images": CALIBRATION,
        "training_images": arguments.train,
        "removed": REMOVED,
        "recipe": given,
        "published_accuracy": PUBLISHED,
        "widths": {group.name: group.before for group in onnxtrim.inspect(arguments.model).groups},
        "parent": {
            "accuracy": judge(parent).metric.after,
            "tuned_as_long": judge(further).metric.after,
        },
        "runs": {name: [] for name in WAYS},
    }
    for seed in arguments.seeds:
        for name, way in WAYS.items():
            run = row(arguments.model, train, judge, way, {**given, "seed": seed})
            found["runs"][name].append({"seed": seed, **run})
            print(seed, name, f"{run['accuracy']:.2%}", flush=True)
    found["mean_accuracy"] = mean_accuracies(found["runs"])
    conclude(arguments, found, draw(found))


if __name__ == "__main__":
    main()
