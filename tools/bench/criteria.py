"""What each criterion leaves of ResNet-20 on CIFAR-10, before any recovery.

    python tools/bench/criteria.py ASSETS [--macs 0.5] [--align auto] [--json FILE]

ASSETS holds `models/cifar10_resnet20_bn_kept.onnx` and `data/cifar10_jpeg.npz`. Every criterion, in
both scopes, is given 512 training images and one budget; accuracy is that on the 10,000 test
images, latency the median ratio of paired runs of one image on one thread.
"""

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from cifar import cifar

import onnxtrim
from onnxtrim.calibration import DataSource, Judge, input_specs, open_data
from onnxtrim.config import DataConfig, PruneOptions, Scope
from onnxtrim.criteria import CRITERIA
from onnxtrim.graph import load, normalize

NO_RUNTIME = {"taylor"}
"""Criteria that take gradients."""


def row(path: Path, calibration: DataSource, judge: Judge, options: PruneOptions) -> dict[str, Any]:
    """Returns what one run of the pruner gives."""
    try:
        plain: PruneOptions = {**options, "compensate": "none"}
        result = onnxtrim.prune(path, calibration, **plain)
    except onnxtrim.BudgetError as error:
        return {**options, "error": str(error)}
    report, quality = result.report, judge(result.model)
    ratio = report.latency_ratio
    assert ratio is not None
    return {
        **options,
        "accuracy_before": quality.metric.before,
        "accuracy": quality.metric.after,
        "output_error": quality.relative_error,
        "macs": report.after.macs / report.before.macs,
        "params": report.after.params / report.before.params,
        "latency": {
            "median": ratio.median,
            "p10": ratio.p10,
            "p90": ratio.p90,
            "pairs": ratio.runs,
        },
        "widths": [group.after for group in report.groups],
        "stand_ins": sum("means nothing here" in warning for warning in report.warnings),
    }


def main() -> None:
    """Runs the table and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assets", type=Path)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--align", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    path = arguments.assets / "models" / "cifar10_resnet20_bn_kept.onnx"
    calibration = cifar(arguments.assets, "train", 512)
    model = normalize(load(path))
    test = open_data(cifar(arguments.assets, "test", 10_000), input_specs(model), DataConfig())
    judge = Judge(model, test, batch_size=250)
    rows = []
    print("| criterion | scope | accuracy | output error | MACs | parameters | latency |")
    print("|---|---|---|---|---|---|---|")
    for name in CRITERIA:
        for scope in get_args(Scope) if name not in NO_RUNTIME else ():
            options = PruneOptions(
                criterion=name, scope=scope, macs=arguments.macs, align=arguments.align, threads=1
            )
            found = row(path, calibration, judge, options)
            rows.append(found)
            if "error" in found:
                print(f"| {name} | {scope} | {found['error']} |")
                continue
            print(
                f"| {name} | {scope} | {found['accuracy']:.2%} | {found['output_error']:.2f} | "
                f"{found['macs']:.3f} | {found['params']:.3f} | {found['latency']['median']:.3f} |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
