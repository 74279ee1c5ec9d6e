"""What compensation gives back, without labels and without training; prints JSON, draws curves.

    python tools/bench/compensation.py cifar ASSETS [--model cifar10_resnet20] [--images 512 2048]
    python tools/bench/compensation.py curves ASSETS [--plot curves.png]
    python tools/bench/compensation.py mobilenet ASSETS
    python tools/bench/compensation.py others ASSETS [--only FastestDet] [--images 64]
    python tools/bench/compensation.py cost

`cifar` prunes ResNet-20 to macs 0.5 and 0.7, in steps of one channel and in those that the runtime
is fast at; accuracy is that on the 10,000 test images, or as many as `--test` says. `curves` is
accuracy against MACs for ways to choose and to compensate, and for onnxsim and Torch-Pruning where
they are installed. `mobilenet` calibrates MobileNetV2 on 256 images of ImageNet and judges it by
the 744 others. `others` are the output errors of more models with and without, and those before a
Softmax. `cost` is seconds against width and depth of made-up networks. Labels are used to judge
only.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from cifar import cifar
from peers import PEERS, onnxsim_points
from pictures import imagenet, pictures

import onnxtrim
from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.graph import load, normalize
from onnxtrim.graph.logits import without_ending

Arrays = dict[str, npt.NDArray[Any]]
Labelled = tuple[Arrays, npt.NDArray[np.int64]]

RESNET = "cifar10_resnet20_bn_kept"
MOBILENET = "mobilenetv2_1.0_224_imagenet.dequant"
WAYS: dict[str, dict[str, Any]] = {
    "l1": {"criterion": "l1", "compensate": "none"},
    "l1, mean": {"criterion": "l1", "compensate": "mean", "allocate": "scores"},
    "l1, linear": {"criterion": "l1", "compensate": "linear", "allocate": "scores"},
    "reconstruction, linear": {"criterion": "reconstruction", "compensate": "linear"},
    "random, linear": {"criterion": "random", "compensate": "linear", "allocate": "scores"},
}
OTHERS: dict[str, tuple[int, int, str, float, float]] = {
    "squeezenet_imagenet_fp32_ir3": (224, 224, "RGB", 118.0, 1.0),
    "mlperftiny_resnet8_cifar10.tf2onnx": (32, 32, "RGB", 0.0, 1.0),
    "FastestDet": (352, 352, "RGB", 0.0, 255.0),
    "espcn_x3_depth_to_space": (64, 64, "L", 0.0, 255.0),
    "espcn_x3_reshape_transpose": (224, 224, "L", 0.0, 255.0),
}
"""Height, width and mode of images, and what pixels are less and divided by."""

SHARES = (0.05, 0.1, 0.11, 0.12)
"""Of the channels, for a peer that takes the same of every layer."""

THREADS = [0]
"""Of the runtime; 0 lets it choose."""


def judge_of(path: Path, test: Labelled | Arrays, size: int = 250) -> Judge:
    """Returns what says how good a model is on test samples."""
    model = normalize(load(path))
    return Judge(
        model,
        open_data(test, input_specs(model), DataConfig()),
        batch_size=size,
        threads=THREADS[0],
    )


def scores_of(path: Path, test: Arrays) -> Callable[[ir.Model], float]:
    """Returns what says how far a model is off before it makes probabilities, where it does."""
    model = normalize(load(path))
    names = [str(value.name) for value in model.graph.outputs]
    data = open_data(test, input_specs(model), DataConfig())
    bare = without_ending(model, names, "softmax")
    judge = Judge(bare, data, batch_size=16, threads=THREADS[0])
    return lambda found: judge(without_ending(found, names, "softmax")).relative_error


def pruned(
    path: Path,
    images: Arrays,
    judge: Judge,
    scores: Callable[[ir.Model], float] | None = None,
    **options: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Returns what is left of a model, and how long it took."""
    start = time.perf_counter()
    result = onnxtrim.prune(path, images, threads=THREADS[0], **options)
    seconds = time.perf_counter() - start
    report, found = result.report, judge(result.model)
    compensation = report.compensation
    return {
        **options,
        "macs_left": report.after.macs / report.before.macs,
        "params_left": report.after.params / report.before.params,
        "latency": None if report.latency_ratio is None else report.latency_ratio.median,
        found.metric.name: found.metric.after,
        "relative_error": found.relative_error,
        **({} if scores is None else {"relative_error_of_scores": scores(result.model)}),
        "kept": None if compensation is None else compensation.way,
        "shared_by": next((row.criterion for row in report.allocations if row.chosen), None),
        "widths": [row.after for row in report.groups],
        "seconds": round(seconds, 1),
        "seconds_compensating": report.timings_s.get("compensate", 0.0),
    }


def on_cifar(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the accuracies of ResNet-20."""
    path = arguments.assets / "models" / f"{arguments.model}.onnx"
    judge = judge_of(path, cifar(arguments.assets, "test", arguments.test))
    rows = []
    for count in arguments.images:
        images, _ = cifar(arguments.assets, "train", count)
        for macs in arguments.macs or (0.5, 0.7):
            for align in arguments.steps:
                row = pruned(path, images, judge, macs=macs, align=align)
                rows.append({"images": count, **row})
                print(count, macs, align, f"{row['accuracy']:.2%}", flush=True)
    return {"model": arguments.model, "test": arguments.test, "rows": rows}


def curves(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns accuracy against MACs, way by way, and draws it."""
    path = arguments.assets / "models" / f"{arguments.model}.onnx"
    judge = judge_of(path, cifar(arguments.assets, "test", arguments.test))
    images, _ = cifar(arguments.assets, "train", arguments.images[0])
    found: dict[str, list[tuple[float, float]]] = {}
    for macs in arguments.macs or (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        for name, options in WAYS.items():
            row = pruned(path, images, judge, macs=macs, align="none", **options)
            found.setdefault(name, []).append((row["macs_left"], row["accuracy"]))
            print(name, macs, f"{row['accuracy']:.2%}", flush=True)
    for name, points in PEERS.items():
        found[name] = points(path, judge)
    if arguments.plot:
        draw(found, arguments.plot)
    head = {"model": arguments.model, "images": arguments.images[0], "test": arguments.test}
    return {**head, "curves": found}


def on_imagenet(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the accuracies of MobileNetV2."""
    path = arguments.assets / "models" / f"{MOBILENET}.onnx"
    (spec,) = input_specs(normalize(load(path)))
    images, labels = imagenet(arguments.assets)
    chosen = np.random.default_rng(0).permutation(len(images))
    few, rest = np.sort(chosen[:256]), np.sort(chosen[256:])
    judge = judge_of(path, ({spec.name: images[rest]}, labels[rest] + 1), size=16)
    rows = []
    for macs in arguments.macs or (0.8,):
        for align in arguments.steps:
            row = pruned(path, {spec.name: images[few]}, judge, macs=macs, align=align)
            rows.append(row)
            print(macs, align, f"{row['accuracy']:.2%}", flush=True)
        plain: dict[str, Any] = {"macs": macs, "compensate": "none"}
        rows.append(pruned(path, {spec.name: images[few]}, judge, **plain))
    peers = {"onnxsim": onnxsim_points(path, judge, SHARES)} if find_spec("onnxsim") else {}
    parent = judge(normalize(load(path))).metric.after
    return {"parent": parent, "rows": rows, "peers": peers}


def on_others(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the output errors of more models, with and without."""
    rows = {}
    for name in arguments.only or OTHERS:
        height, width, mode, less, by = OTHERS[name]
        path = arguments.assets / "models" / f"{name}.onnx"
        (spec,) = input_specs(normalize(load(path)))
        images = (pictures(arguments.assets, (height, width), mode) - less) / by
        if spec.shape[-1] == 3:  # channels last
            images = images.transpose(0, 2, 3, 1)
        images = np.ascontiguousarray(images, np.float32)
        count = min(arguments.images[0], len(images) - 256)
        few, rest = ({spec.name: part} for part in (images[:count], images[-256:]))
        judge = judge_of(path, rest, size=16)
        scores, steps = scores_of(path, rest), arguments.align
        found = {
            way: pruned(path, few, judge, scores, macs=0.7, align=steps, compensate=way)
            for way in ("none", "auto")
        }
        rows[name] = {"images": count, **found}
        for what in ("relative_error", "relative_error_of_scores"):
            errors = [found[way][what] for way in ("none", "auto")]
            rows[name][f"times_less_{what}"] = errors[0] / errors[1]
            print(name, what, *(f"{e:.4f}" for e in errors), f"{errors[0] / errors[1]:.2f}")
    return rows


def chain(width: int, depth: int) -> bytes:
    """Returns a chain of convolutions of a width, on 16 x 16 positions, with random weights."""
    rng = np.random.default_rng(0)
    nodes, weights, last, last_width = [], [], "x", 3
    for layer in range(depth):
        shape = (width, last_width, 3, 3)
        array = (rng.normal(size=shape) / np.sqrt(9 * last_width)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(array, f"w{layer}"))
        nodes.append(
            onnx.helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1] * 4)
        )
        nodes.append(onnx.helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last, last_width = f"r{layer}", width
    x, y = (
        onnx.helper.make_tensor_value_info(n, 1, ["N", c, 16, 16])
        for n, c in (("x", 3), (last, width))
    )
    graph = onnx.helper.make_graph(nodes, "chain", [x], [y], weights)
    imports = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    return bytes(model.SerializeToString())


def cost(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns seconds of choosing and compensating against width and depth."""
    images = {"x": np.random.default_rng(1).normal(size=(128, 3, 16, 16)).astype(np.float32)}
    rows = []
    for width, depth in ((32, 6), (64, 6), (96, 6), (128, 6), (32, 3), (32, 12), (32, 24)):
        result = onnxtrim.prune(chain(width, depth), images, macs=0.6, align="none")
        seconds = result.report.timings_s
        rows.append({"width": width, "depth": depth, **seconds})
        print(width, depth, seconds, flush=True)
    return {"rows": rows}


def draw(found: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draws accuracy against MACs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in found.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xlabel="MACs left", ylabel="accuracy on the test images")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


RUNS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "cifar": on_cifar,
    "curves": curves,
    "mobilenet": on_imagenet,
    "others": on_others,
    "cost": cost,
}


def main() -> None:
    """Does one of the runs and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("assets", type=Path, nargs="?", default=Path())
    parser.add_argument("--model", default=RESNET)
    parser.add_argument("--images", type=int, nargs="+", default=[512])
    parser.add_argument("--test", type=int, default=10_000, help="images that judge ResNet-20")
    parser.add_argument("--macs", type=float, nargs="+")
    parser.add_argument("--steps", nargs="+", default=["none", "auto"], help="of the others")
    parser.add_argument("--align", default="auto", help="of `others`")
    parser.add_argument("--only", nargs="+", help="the models of `others`")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    THREADS[:] = [arguments.threads]
    text = json.dumps({"run": arguments.run, **RUNS[arguments.run](arguments)}, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
