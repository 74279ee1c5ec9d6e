"""What zeros in place cost and give on ResNet-20 and CIFAR-10; prints JSON.

    python tools/bench/sparsity.py ASSETS [--train 10000] [--test 2000] [--epochs 1]

Each row is one run of weight pruning, judged on test images that nothing was learned from: with
`tuned`, it has learned from labels of training images, its zeros kept. `parent_tuned` is the
accuracy of the parent that learned as long. Latency is after / before, in pairs, on one thread.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cifar import cifar

import onnxtrim
from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.graph import load, normalize

MODEL = "models/cifar10_resnet20_bn_kept.onnx"
WAYS: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"weights": 0.5}, False),
    ({"weights": 0.8}, False),
    ({"weights": 0.8, "scope": "layer"}, False),
    ({"pattern": "2:4"}, False),
    ({"weights": 0.8}, True),
    ({"weights": 0.9}, True),
    ({"weights": 0.9, "scope": "layer"}, True),
    ({"pattern": "2:4"}, True),
)


def main() -> None:
    """Prints one row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    model, lessons = arguments.assets / MODEL, {"epochs": arguments.epochs, "lr": 0.005}
    test = cifar(arguments.assets, "test", arguments.test)
    train = cifar(arguments.assets, "train", arguments.train)
    rows = []
    for way, tuned in WAYS:
        options = {**way, **({"finetune": True, "train_data": train, **lessons} if tuned else {})}
        report = onnxtrim.prune(model, test, threads=1, **options).report
        zeros, before, after = report.sparsity, report.before, report.after
        ratio = report.latency_ratio
        if zeros is None or before.metric is None or after.metric is None or ratio is None:
            raise ValueError("the report lacks figures")
        rows.append(
            {
                **way,
                "tuned": tuned,
                "sparsity": round(zeros.sparsity, 4),
                "accuracy_before": before.metric.value,
                "accuracy_after": after.metric.value,
                "file_bytes": [before.bytes, after.bytes],
                "gzip_bytes": [zeros.gzip_before, zeros.gzip_after],
                "latency_ratio": round(ratio.median, 3),
                "latency_p10_p90": [round(ratio.p10, 3), round(ratio.p90, 3)],
            }
        )
    parent = onnxtrim.fine_tune(model, train, **lessons)
    original = normalize(load(model))
    judge = Judge(original, open_data(test, input_specs(original), DataConfig()))
    found = {
        "test": arguments.test,
        "train": arguments.train,
        **lessons,
        "parent_tuned": judge(parent.model).metric.after,
        "rows": rows,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
