"""What slimming before a cut does to ResNet-20 on CIFAR-10; prints JSON.

    python tools/bench/slimming.py ASSETS [--train 5000] [--test 2000] [--epochs 3] [--macs 0.7]

The model learns from labels with each weight of the penalty, 0 among them, and is then cut by the
scales of its normalisations, without compensation and tuning. `scales` is the sum of their sizes,
`small` the share of those below 5% of the largest of their layer.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
from cifar import cifar

import onnxtrim
from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.finetune.twin.parameters import scales_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant

MODEL = "models/cifar10_resnet20_bn_kept.onnx"
WEIGHTS = (0.0, 1e-4, 1e-3)
SMALL = 0.05


def sizes(model: ir.Model) -> list[np.ndarray]:
    """Returns the sizes of the scales of every normalisation."""
    arrays = (constant(model.graph.initializers[name]) for name in scales_of(model))
    return [np.abs(array.astype(np.float64)) for array in arrays if array is not None]


def main() -> None:
    """Prints one row for each weight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--train", type=int, default=5_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--macs", type=float, default=0.7)
    arguments = parser.parse_args()
    path = arguments.assets / MODEL
    test = cifar(arguments.assets, "test", arguments.test)
    train = cifar(arguments.assets, "train", arguments.train)
    original = normalize(load(path))
    judge = Judge(original, open_data(test, input_specs(original), DataConfig()))
    rows = []
    for weight in WEIGHTS:
        slim = onnxtrim.fine_tune(path, train, slim=weight, epochs=arguments.epochs, lr=0.005)
        thin = onnxtrim.prune(
            slim.model,
            train,
            samples=512,
            macs=arguments.macs,
            criterion="bn-scale",
            align="none",
            allocate="scores",
            normalize="none",
            compensate="none",
        )
        found = sizes(slim.model)
        rows.append(
            {
                "slim": weight,
                "scales": round(sum(float(each.sum()) for each in found), 2),
                "small": round(
                    float(np.mean(np.concatenate([each < SMALL * each.max() for each in found]))), 4
                ),
                "accuracy": judge(slim.model).metric.after,
                "accuracy_cut": judge(thin.model).metric.after,
                "loss": [slim.report.loss.before, slim.report.loss.after],
            }
        )
    found_before = sum(float(each.sum()) for each in sizes(original))
    options = {name: value for name, value in vars(arguments).items() if name != "assets"}
    print(json.dumps({**options, "before": found_before, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
