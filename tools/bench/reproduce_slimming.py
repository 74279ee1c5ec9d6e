"""Slimming of a detector: YOLOv3 for structure and speed, a small trained one for the errors.

    python tools/bench/reproduce_slimming.py ASSETS [--epochs 2] [--json FILE] [--plot FILE]

The published case: YOLOv3 for hands, trained with an L1 penalty on the scales of its batch
normalisations, then cut where those are smallest. `structure` cuts a YOLOv3 whose scales are spread
like that (see `networks.py`), by the same rule, to the share of the parameters that the case kept.
Its weights are random, so there is no accuracy. `recovery` takes a trained face detector (ASSETS
holds `models/version-RFB-320.onnx` and the sample images of ImageNet) to half of its
multiply-accumulates: cut, compensated and distilled from itself without labels. The output error is
relative, on 100 images that nothing was fitted to.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from compensation import judge_of
from drawing import bars, canvas
from networks import SMALL, yolov3
from pictures import pictures
from reproducing import conclude, figures, options

import onnxtrim
from onnxtrim.report import environment

PARAMS = 0.18
PUBLISHED = {
    "params": [61.5e6, 10.9e6],
    "macs": [32.8e9, 9.6e9],
    "bytes": [246e6, 43.6e6],
    "latency_ms": [15.0, 7.7],
    "map": [0.769, 0.775],
}
DETECTOR, OUTSIDE = "version-RFB-320", 100
BY_SCALE: dict[str, Any] = {"criterion": "bn-scale", "normalize": "none"}
WAYS: dict[str, dict[str, Any]] = {"bn-scale": BY_SCALE, "reconstruction": {}}


def structure(align: str, threads: int) -> dict[str, Any]:
    """Returns what YOLOv3 costs before and after, in some steps of channels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yolov3.onnx"
        onnx.save(yolov3(), path)
        plain: dict[str, Any] = {"compensate": "none", "threads": threads}
        report = onnxtrim.prune(path, params=PARAMS, align=align, **BY_SCALE, **plain).report
    found = figures(report)
    print(align, found, flush=True)
    widths = {group.name: [group.before, group.after] for group in report.groups}
    return {"align": align, **found, "timings_s": report.timings_s, "widths": widths}


def recovery(assets: Path, way: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the output errors of a trained detector, stage by stage."""
    path = assets / "models" / f"{DETECTOR}.onnx"
    images = ((pictures(assets, (240, 320), "RGB") - 127) / 128).astype(np.float32)
    train, test = {"input": images[:-OUTSIDE]}, {"input": images[-OUTSIDE:]}
    judge = judge_of(path, test, 16)
    cut: dict[str, Any] = {"macs": arguments.macs, "threads": arguments.threads, **way}
    calibration = {"input": images[:128]}
    stages = {
        "cut": onnxtrim.prune(path, calibration, compensate="none", **cut),
        "compensated": onnxtrim.prune(path, calibration, **cut),
        "tuned": onnxtrim.prune(
            path,
            calibration,
            train_data=train,
            finetune=True,
            loss="distill",
            epochs=arguments.epochs,
            **cut,
        ),
    }
    errors = {stage: judge(result.model).relative_error for stage, result in stages.items()}
    print(way, errors, flush=True)
    report = stages["tuned"].report
    tuning = report.tuning
    assert tuning is not None
    return {
        **way,
        "macs_asked_for": arguments.macs,
        "images": {"calibration": 128, "training": len(train["input"]), "judging": OUTSIDE},
        "relative_error": errors,
        "loss": [round(look.loss, 5) for look in tuning.looks],
        "epochs": tuning.epochs,
        "steps": tuning.steps,
        "tuning_s": round(tuning.seconds, 1),
        **figures(report),
        "widths": {group.name: [group.before, group.after] for group in report.groups},
        "warnings": report.warnings,
    }


def draw(rows: list[dict[str, Any]], recovered: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    """Returns the picture: what stays of each group, what that saves, and the errors."""
    figure, ((left, middle, right),) = canvas(1, 3, (13, 4.2))
    for row in rows:
        kept = [after / before for before, after in row["widths"].values()]
        left.step(range(len(kept)), kept, where="mid", label=f"--align {row['align']}")
    left.set(xlabel="channel group", ylabel="share of the channels that stay", ylim=(0, 1.05))
    left.grid(alpha=0.3)
    left.legend(fontsize="small")
    names = ["parameters", "bytes", "MACs", "time"]
    keys = ("params", "bytes", "macs")
    times = PUBLISHED["latency_ms"]
    shares = {
        "published": [*(PUBLISHED[k][1] / PUBLISHED[k][0] for k in keys), times[1] / times[0]]
    }
    for row in rows:
        counted = [row[key][1] / row[key][0] for key in keys]
        shares[f"--align {row['align']}"] = [*counted, row["latency_ratio"]["median"]]
    bars(middle, names, shares)
    middle.set(ylabel="share that is left")
    stages = list(recovered[0]["relative_error"])
    bars(right, stages, {r["criterion"]: list(r["relative_error"].values()) for r in recovered})
    right.set(ylabel="relative output error", yscale="log", title=DETECTOR)
    return figure


def main() -> None:
    """Does both parts."""
    parser = options(__doc__, "slimming")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--macs", type=float, default=0.5, help="of the trained detector")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    rows = [structure(align, arguments.threads) for align in ("none", "auto")]
    recovered = [
        {"criterion": name, **recovery(arguments.assets, way, arguments)}
        for name, way in WAYS.items()
    ]
    found = {
        "environment": environment() | {"threads": str(arguments.threads)},
        "published": PUBLISHED,
        "share_of_small_scales": SMALL,
        "structure": rows,
        "detector": DETECTOR,
        "recovery": recovered,
    }
    conclude(arguments, found, draw(rows, recovered))


if __name__ == "__main__":
    main()
