"""Iterative pruning against pruning at once, at one final rate and one budget of tuning; JSON.

    python tools/bench/reproduce_iterative.py ASSETS [--ratio 0.4] [--epochs 12] [--seeds 0 1]

ResNet-20 on CIFAR-10 loses the same share of every group, by L2 norms, in steps of one channel and
without compensation: at once, with all epochs of tuning behind it; in even steps, with an even part
of the epochs behind each; and group after group, as lectures have it (recipe `iterative-l2`), where
an epoch is of as many images as make the budget the same. Accuracy is that on the 10,000 test
images, next to that of the parent tuned for as many epochs.
"""

import argparse
from pathlib import Path
from typing import Any

from cifar import cifar
from compensation import RESNET, judge_of
from drawing import canvas, dots
from reproducing import conclude, mean_accuracies, options
from tuning import Labelled, first, tuned

import onnxtrim
from onnxtrim.calibration import Judge
from onnxtrim.graph import load, normalize
from onnxtrim.report import environment

CALIBRATION = 256
PLAIN: dict[str, Any] = {
    "criterion": "l2",
    "align": "none",
    "compensate": "none",
    "allocate": "scores",
    "batch_size": 64,
    "lr": 2e-3,
}


def ways(arguments: argparse.Namespace, groups: int) -> dict[str, tuple[dict[str, Any], float]]:
    """Returns the options of each way, and the share of the images that its epochs see."""
    ratio, epochs, steps = arguments.ratio, arguments.epochs, arguments.steps
    turns = 2 * groups  # each group goes in two steps
    return {
        "at once": ({"ratio": ratio, "scope": "layer", "epochs": epochs}, 1.0),
        "even steps": (
            {"ratio": ratio, "scope": "layer", "steps": steps, "epochs": epochs // steps},
            1.0,
        ),
        "in turn": (
            {
                "recipe": "iterative-l2",
                "ratio": ratio,
                "per_step": ratio / 2,
                "epochs": 1,
            },
            epochs / turns,
        ),
    }


def row(
    path: Path, train: Labelled, judge: Judge, way: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """Returns what is left of the network, and how good that is, step by step."""
    result = onnxtrim.prune(
        path,
        first(train, CALIBRATION),
        train_data=train,
        finetune=True,
        **{**PLAIN, **way, **given},
    )
    report = result.report
    return {
        "macs_left": report.after.macs / report.before.macs,
        "params_left": report.after.params / report.before.params,
        "steps": len(report.steps),
        "images_seen": sum(len(train[1]) * way["epochs"] for _ in report.steps),
        "accuracy": judge(result.model).metric.after,
    }


def draw(found: dict[str, Any]) -> Any:  # noqa: ANN401
    """Returns the picture: the accuracy of each way."""
    figure, panels = canvas(1, 1, (6, 4))
    dots(panels[0, 0], found["runs"], found["parent"]["tuned_as_long"])
    panels[0, 0].set(ylabel="accuracy, % (line: the parent, tuned as long)")
    return figure


def main() -> None:
    """Prunes at once, and in steps."""
    parser = options(__doc__, "iterative")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--train", type=int, default=2_500)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments: argparse.Namespace = parser.parse_args()
    path = arguments.assets / "models" / f"{RESNET}.onnx"
    images, labels = cifar(arguments.assets, "train", arguments.train)
    judge = judge_of(path, cifar(arguments.assets, "test", 10_000))
    parent, groups = normalize(load(path)), len(onnxtrim.inspect(path).groups)
    alone = {name: PLAIN[name] for name in ("batch_size", "lr")} | {"threads": arguments.threads}
    further, _ = tuned(parent, (images, labels), None, {**alone, "epochs": arguments.epochs})
    found: dict[str, Any] = {
        "environment": environment(),
        "ratio": arguments.ratio,
        "training_images": arguments.train,
        "epochs": arguments.epochs,
        "groups": groups,
        "parent": {
            "accuracy": judge(parent).metric.after,
            "tuned_as_long": judge(further).metric.after,
        },
        "runs": {name: [] for name in ways(arguments, groups)},
    }
    for seed in arguments.seeds:
        for name, (way, share) in ways(arguments, groups).items():
            train = first((images, labels), round(share * arguments.train))
            given = {"seed": seed, "threads": arguments.threads}
            run = row(path, train, judge, way, given)
            found["runs"][name].append({"seed": seed, **run})
            print(seed, name, f"{run['accuracy']:.2%}", flush=True)
    found["mean_accuracy"] = mean_accuracies(found["runs"])
    conclude(arguments, found, draw(found))


if __name__ == "__main__":
    main()
