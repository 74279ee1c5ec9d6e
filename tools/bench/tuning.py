"""What fine-tuning gives back, how fast and in how much memory; prints JSON.

    python tools/bench/tuning.py lenet ASSETS --model lenet-mnist.onnx [--params 0.25] [--epochs 1]
    python tools/bench/tuning.py resnet ASSETS [--macs 0.5] [--align none] [--epochs 2]
    python tools/bench/tuning.py others ASSETS [--macs 0.7] [--only espcn_x3_depth_to_space]
    python tools/bench/tuning.py speed ASSETS [--blocks 12] [--steps 10] [--batch-size 64]
    python tools/bench/tuning.py memory ASSETS [--steps 1000] [--batch-size 16]

`lenet` and `resnet` cut a classifier, without compensation, and tune it once with labels and once
by distillation, without any; the accuracy is that on the test images, beside the parent's, and for
`resnet` beside that of the parent tuned as long. `lenet` is that of `tools/train_models.py
--mnist`. `others` cuts a detector and two nets for super-resolution, without compensation, and
distils them from themselves; the output error is relative, on images that they have not learned
from. `speed` distils ResNet-20 in turn with a PyTorch network of its sizes, some steps each, the
teacher included in both; the ratio is images a second over PyTorch's. `memory` is resident, in MiB,
of this process and of the one that trains, early and late in a run. Options of tuning that are not
given are those in `OPTIONS`. Linux only.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from cifar import cifar
from measuring import PAUSE, spread, twin
from memory import memory
from pictures import pictures

import onnxtrim
from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.finetune.course import Pace
from onnxtrim.graph import load, normalize

Arrays = dict[str, npt.NDArray[Any]]
Labelled = tuple[Arrays, npt.NDArray[np.int64]]

RESNET = "models/cifar10_resnet20_bn_kept.onnx"
CALIBRATION = 512
EARLY = 200
"""The step after which memory should not grow any more; one epoch has half as many."""

OPTIONS: dict[str, dict[str, Any]] = {
    "lenet": {"epochs": 1, "batch_size": 32},
    "resnet": {"epochs": 2, "batch_size": 64, "lr": 0.005},
    "speed": {"batch_size": 64},
    "memory": {"batch_size": 16},
    "version-RFB-320": {"epochs": 2},
    "espcn_x3_depth_to_space": {"epochs": 3, "batch_size": 16},
    "espcn_x3_reshape_transpose": {"epochs": 2},
}


def mnist(assets: Path, part: str) -> Labelled:
    """Returns the images of `train` or `test`, (count, 1, 28, 28), and their labels."""
    with np.load(assets / "data" / "mnist.npz") as stored:
        pixels, labels = stored[f"x_{part}"], stored[f"y_{part}"]
    return {"image": pixels[:, None].astype(np.float32) / 255}, labels.astype(np.int64)


def first(data: Labelled, count: int) -> Labelled:
    """Returns the first samples."""
    inputs, labels = data
    return {name: array[:count] for name, array in inputs.items()}, labels[:count]


def tuned(
    student: ir.Model, data: Arrays | Labelled, teacher: Path | None, options: dict[str, Any]
) -> tuple[ir.Model, dict[str, Any]]:
    """Returns the student after it has learned, and how that went."""
    result = onnxtrim.fine_tune(student, data, teacher, **options)
    report = result.report
    return result.model, {
        "loss": [round(look.loss, 5) for look in report.looks],
        "steps": report.steps,
        "images_s": round(report.images_s, 1),
        "seconds": round(report.seconds, 1),
        "warnings": report.warnings,
    }


def classifier(
    path: Path,
    train: Labelled,
    test: Labelled,
    budget: dict[str, Any],
    options: dict[str, Any],
    *,
    parent_too: bool,
) -> dict[str, Any]:
    """Returns the accuracy of a model, of what is left of it within a budget, and after tuning."""
    model = normalize(load(path))
    judge = Judge(model, open_data(test, input_specs(model), DataConfig()), batch_size=250)
    threads = options.get("threads", 0)
    plain: dict[str, Any] = {**budget, "threads": threads, "compensate": "none"}
    cut = onnxtrim.prune(path, first(train, CALIBRATION), **plain)
    before, after = cut.report.before, cut.report.after
    rows: dict[str, Any] = {
        **budget,
        **options,
        "params_left": after.params / before.params,
        "macs_left": after.macs / before.macs,
        "accuracy_parent": judge(model).metric.after,
        "accuracy_cut": judge(cut.model).metric.after,
    }
    runs: dict[str, tuple[ir.Model, Arrays | Labelled, Path | None]] = {
        "labels": (cut.model, train, None),
        "distillation": (cut.model, train[0], path),
    }
    if parent_too:
        runs["parent"] = (model, train, None)
    for name, (student, data, teacher) in runs.items():
        learned, facts = tuned(student, data, teacher, options)
        rows[name] = {"accuracy": judge(learned).metric.after, **facts}
        print(f"{name}: {rows[name]['accuracy']:.2%}", flush=True)
    return rows


def lenet(arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns what is left of LeNet on MNIST."""
    assets, budget = arguments.assets, {"params": arguments.params}
    train, test = (mnist(assets, part) for part in ("train", "test"))
    train = first(train, arguments.train)
    return classifier(arguments.model, train, test, budget, options, parent_too=False)


def resnet(arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns what is left of ResNet-20 on CIFAR-10, and of its parent tuned as long."""
    assets, budget = arguments.assets, {"macs": arguments.macs, "align": arguments.align}
    train = cifar(assets, "train", arguments.train)
    test = cifar(assets, "test", 10_000)
    return classifier(assets / RESNET, train, test, budget, options, parent_too=True)


def others(arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the output errors of models that are no classifiers, before and after tuning."""
    rows: dict[str, Any] = {}
    for name in arguments.only or [n for n in OPTIONS if n.startswith(("version", "espcn"))]:
        path, mine = arguments.assets / "models" / f"{name}.onnx", {**OPTIONS[name], **options}
        model = normalize(load(path))
        (spec,) = input_specs(model)
        height, width = (n or 64 for n in spec.shape[2:])
        mode, middle, unit = ("RGB", 127, 128) if "RFB" in name else ("L", 0, 255)
        pixels = pictures(arguments.assets, (height, width), mode)
        images = ((pixels - middle) / unit).astype(np.float32)
        train, test = ({spec.name: part} for part in (images[:-100], images[-100:]))
        judge = Judge(model, open_data(test, [spec], DataConfig()), batch_size=16)
        calibration = {spec.name: images[:128]}
        plain = {"macs": arguments.macs, "align": arguments.align, "compensate": "none"}
        cut = onnxtrim.prune(path, calibration, **plain)
        learned, facts = tuned(cut.model, train, path, mine)
        before, after = (judge(each).relative_error for each in (cut.model, learned))
        macs = cut.report.after.macs / cut.report.before.macs
        rows[name] = {
            **mine,
            "macs_left": macs,
            "error_cut": before,
            "error": after,
            "times_less": before / after,
            **facts,
        }
        print(f"{name}: {before:.4f} -> {after:.4f}, {before / after:.2f} times less", flush=True)
    return rows


def torch_step(size: int, options: dict[str, Any]) -> Callable[[], None]:
    """Returns a step of distillation of ResNet-20 in PyTorch."""
    import torch

    found, master = twin("resnet20"), twin("resnet20")
    assert found is not None
    assert master is not None
    torch.set_num_threads(options.get("threads") or torch.get_num_threads())
    student, teacher = found[0].train(), master[0].eval()
    x = torch.randn(size, *found[1])
    kinds = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    optimizer = kinds[options.get("optimizer", "adamw")](student.parameters(), lr=1e-3)
    heat = 4.0

    def step() -> None:
        with torch.no_grad():
            targets = torch.softmax(teacher(x) / heat, 1)
        scores = torch.log_softmax(student(x) / heat, 1)
        loss = torch.nn.functional.kl_div(scores, targets, reduction="batchmean") * heat**2
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        loss.item()

    return step


def speed(arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns images a second in blocks of steps that take turns with PyTorch's."""
    size, length = options["batch_size"], arguments.steps
    step = torch_step(size, options)
    seconds: dict[str, list[float]] = {"onnxtrim": [], "torch": []}
    start = [0.0]

    def watch(pace: Pace) -> None:
        if pace.step % length:
            return
        seconds["onnxtrim"].append(time.perf_counter() - start[0])
        time.sleep(PAUSE)
        begun = time.perf_counter()
        for _ in range(length):
            step()
        seconds["torch"].append(time.perf_counter() - begun)
        time.sleep(PAUSE)
        start[0] = time.perf_counter()

    blocks = arguments.blocks + 1  # the first one warms up
    images, _ = cifar(arguments.assets, "train", -(-blocks * length * size * 10 // 9) + size)
    path = arguments.assets / RESNET
    onnxtrim.fine_tune(path, images, path, watch=watch, **{**options, "epochs": 1})
    kept = {name: values[1:] for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(kept["onnxtrim"], kept["torch"], strict=True)]
    return {
        **options,
        "steps_a_block": length,
        "blocks": len(ratios),
        "images_s": {n: spread([length * size / s for s in v]) for n, v in kept.items()},
        "ratio": spread(ratios),
    }


def workers() -> list[str]:
    """Returns the processes of this one that train."""
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return [
        one
        for one in " ".join(lists).split()
        if "onnxtrim_worker.train" in Path(f"/proc/{one}/cmdline").read_text()
    ]


def resident(arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the resident memory of both processes over a run."""
    size, steps = options["batch_size"], arguments.steps
    epochs = max(1, 2 * steps // EARLY)
    images, _ = cifar(arguments.assets, "train", -(-steps // epochs * size * 10 // 9) + size)
    seen: dict[str, list[float]] = {"parent": [], "worker": []}

    def watch(pace: Pace) -> None:
        (worker,) = workers()
        seen["parent"].append(memory("VmRSS"))
        seen["worker"].append(memory("VmRSS", process=worker))

    path = arguments.assets / RESNET
    limits = {"epochs": epochs, "patience": epochs, **options}
    onnxtrim.fine_tune(path, images, path, watch=watch, **limits)
    early = min(EARLY, len(seen["worker"]) // 2)
    return {
        **limits,
        "steps": len(seen["worker"]),
        "early": early,
        "mib": {
            who: {
                "first": round(values[0], 1),
                "early": round(values[early - 1], 1),
                "last": round(values[-1], 1),
                "peak": round(max(values), 1),
                "growth": round(values[-1] - values[early - 1], 1),
                "course": [round(value, 1) for value in values[99::100]],
            }
            for who, values in seen.items()
        },
    }


RUNS = {"lenet": lenet, "resnet": resnet, "others": others, "speed": speed, "memory": resident}


def main() -> None:
    """Does one of the runs and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--model", type=Path, default=Path("lenet-mnist.onnx"))
    parser.add_argument("--only", nargs="+", help="the models of `others`")
    parser.add_argument("--params", type=float, default=0.25)
    parser.add_argument("--macs", type=float)
    parser.add_argument("--align", default="auto", help="of `resnet` and `others`")
    parser.add_argument("--train", type=int, default=60_000, help="how many images to learn from")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--json", type=Path)
    tuning = parser.add_argument_group("of tuning")
    for name, kind in {"epochs": int, "lr": float, "batch-size": int, "threads": int}.items():
        tuning.add_argument(f"--{name}", type=kind)
    for name in ("loss", "optimizer", "bn"):
        tuning.add_argument(f"--{name}")
    arguments = parser.parse_args()
    names = ("epochs", "lr", "batch_size", "threads", "loss", "optimizer", "bn")
    given = {n: v for n in names if (v := getattr(arguments, n)) is not None}
    arguments.macs = arguments.macs or {"resnet": 0.5}.get(arguments.run, 0.7)
    arguments.steps = arguments.steps or {"speed": 10}.get(arguments.run, 1000)
    found = RUNS[arguments.run](arguments, {**OPTIONS.get(arguments.run, {}), **given})
    text = json.dumps({"run": arguments.run, **found}, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
