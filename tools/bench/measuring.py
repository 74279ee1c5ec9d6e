"""Measures what measuring costs: seconds and memory, relative to plain inference; prints JSON.

    python tools/bench/measuring.py MODEL ... [--batches 60] [--batch 64] [--threads 1 2]

Four ways go through the same made-up batches, and each is divided by the plain run of that batch
right beside it: `plain`, inference alone; `measure`, with zeros, mean and second moment of every
channel at all taps; `naive`, inference that hands every tapped tensor to numpy, which takes the
same statistics; `hooks`, PyTorch with forward hooks that take them on a network of the same sizes
(files named *resnet20* and *mobilenetv2*, where torch is installed), divided by PyTorch without.
What comes before the first batch is left out. Peak memory is that of fresh processes, for a few
batches and for all of them. Linux only.
"""

import argparse
import contextlib
import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from memory import memory

from onnxtrim.calibration import (
    Batch,
    InputSpec,
    Progress,
    Statistic,
    batch_size,
    input_specs,
    measure,
)
from onnxtrim.channels import Tap, analyze
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner

with contextlib.suppress(ImportError):
    import torch
    from torch import nn

STATISTICS: tuple[Statistic, ...] = ("zeros", "mean", "square")
FEW = 4
WARM_UP = 3
PAUSE = 0.02
"""Seconds until the threads of another session have stopped to wait for work."""


@dataclass(frozen=True)
class MadeUp:
    """Samples of normal noise, the same ones over and over: nothing but a batch is kept."""

    specs: tuple[InputSpec, ...]
    count: int
    labelled = False
    fingerprint = "made up"

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self.count

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields the samples, `size` at a time."""
        rng = np.random.default_rng(0)
        arrays = {
            spec.name: rng.standard_normal((size, *(n or 1 for n in spec.shape[1:]))).astype(
                spec.dtype
            )
            for spec in self.specs
        }
        for start in range(0, self.count, size):
            count = min(size, self.count - start)
            yield Batch({name: a[:count] for name, a in arrays.items()}, None, count)


@dataclass(frozen=True)
class Case:
    """A model, where it is tapped, and the samples that go through it."""

    model: ir.Model
    taps: list[Tap]
    data: MadeUp
    size: int
    threads: int

    def plain(self) -> Callable[[], object]:
        """Returns what runs the model on a batch."""
        runner = Runner(self.model, threads=self.threads)
        inputs = self.batch().inputs
        return lambda: runner(inputs)

    def naive(self) -> Callable[[], object]:
        """Returns what runs a batch, fetches what is tapped and takes the statistics in numpy."""
        model = self.model.clone()
        axes = {tap.tensor: tap.axis for tap in self.taps}
        values = [v for node in model.graph for v in node.outputs if v.name in axes]
        model.graph.outputs.clear()
        model.graph.outputs.extend(values)
        runner = Runner(model, threads=self.threads)
        inputs = self.batch().inputs

        def run() -> None:
            for name, x in runner(inputs).items():
                others = tuple(i for i in range(x.ndim) if i != axes[name])
                (x == 0).mean(others), x.mean(others), (x * x).mean(others)

        return run

    def batch(self) -> Batch:
        """Returns a batch."""
        return next(self.data.batches(self.size))

    def measure(self, progress: Progress | None = None) -> None:
        """Measures."""
        measure(
            self.model,
            self.taps,
            STATISTICS,
            self.data,
            batch_size=self.size,
            threads=self.threads,
            progress=progress,
        )


def case(path: Path, batches: int, size: int, threads: int) -> Case:
    """Returns the case of the model at `path`."""
    model = normalize(load(path))
    taps = list(dict.fromkeys(tap for group in analyze(model).groups for tap in group.taps))
    specs = input_specs(model)
    size = batch_size(specs, size)
    return Case(model, taps, MadeUp(tuple(specs), batches * size), size, threads)


def basic(width: int, made: int, stride: int) -> "nn.Module":
    """Returns a block of ResNet-20, its shortcut without weights."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(
                nn.Conv2d(width, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()
            )
            self.second = nn.Sequential(
                nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made)
            )
            self.last = nn.ReLU()

        def forward(self, x: Any) -> Any:  # noqa: ANN401 - a torch.Tensor
            way = x[:, :, ::stride, ::stride]
            side = (made - width) // 2
            way = nn.functional.pad(way, (0, 0, 0, 0, side, side))
            return self.last(self.second(self.first(x)) + way)

    return Block()


def inverted(width: int, made: int, stride: int, factor: int) -> "nn.Module":
    """Returns a block of MobileNetV2."""
    inner = width * factor
    layers = [nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()]
    layers = layers if factor > 1 else []
    layers += [nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)]
    layers += [nn.BatchNorm2d(inner), nn.ReLU6()]
    layers += [nn.Conv2d(inner, made, 1, bias=False), nn.BatchNorm2d(made)]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.way = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:  # noqa: ANN401 - a torch.Tensor
            return x + self.way(x) if stride == 1 and width == made else self.way(x)

    return Block()


def twin(name: str) -> tuple["nn.Module", tuple[int, ...]] | None:
    """Returns the PyTorch network of the sizes of a model, and the sizes of a sample."""
    if "torch" not in globals():
        return None
    layers: list[Any]
    if "resnet20" in name:
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        for width, made, stride in [(16, 16, 1), (16, 32, 2), (32, 64, 2)]:
            layers += [basic(width, made, stride), basic(made, made, 1), basic(made, made, 1)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
        return nn.Sequential(*layers).eval(), (3, 32, 32)
    if "mobilenetv2" in name:
        layers = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
        width = 32
        table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)]
        for factor, made, times, stride in [*table, (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
            for i in range(times):
                layers.append(inverted(width, made, 1 if i else stride, factor))
                width = made
        layers += [nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1001)]
        return nn.Sequential(*layers).eval(), (3, 224, 224)
    return None


def torch_runs(name: str, size: int, threads: int) -> dict[str, Callable[[], object]]:
    """Returns PyTorch's inference of a batch, and the same with forward hooks."""
    found = twin(name)
    if found is None:
        return {}
    network, sample = found
    hooked = copy.deepcopy(network)
    x = torch.randn(size, *sample)
    torch.set_num_threads(threads or torch.get_num_threads())

    def hook(module: object, given: object, y: Any) -> None:  # noqa: ANN401 - a torch.Tensor
        others = (0, 2, 3)
        (y == 0).float().mean(others), y.mean(others), (y * y).mean(others)

    for module in hooked.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.register_forward_hook(hook)

    def run(network: "nn.Module") -> None:
        with torch.inference_mode():
            network(x)

    return {"torch": lambda: run(network), "hooks": lambda: run(hooked)}


def paired(some: Case, runs: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Returns the seconds of each batch: measured, then gone through in the other ways."""
    names = list(runs)
    seconds: dict[str, list[float]] = {name: [] for name in ("measure", *names)}

    starts = [time.perf_counter()]

    def between(what: str, done: int, total: int) -> None:
        seconds["measure"].append(time.perf_counter() - starts[-1])
        turn = done // some.size % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(PAUSE)
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
        time.sleep(PAUSE)
        starts.append(time.perf_counter())

    some.measure(between)
    return {name: values[WARM_UP:] for name, values in seconds.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Returns the median of `values`, and their 10th and 90th percentile."""
    p10, median, p90 = np.percentile(values, [10, 50, 90])
    return {"median": round(median, 3), "p10": round(p10, 3), "p90": round(p90, 3)}


def peak(path: Path, way: str, batches: int, size: int, threads: int) -> float:
    """Returns the highest resident memory of a fresh process that goes one way, in MiB."""
    command = [sys.executable, __file__, str(path), "--way", way]
    command += ["--batches", str(batches), "--batch", str(size), "--threads", str(threads)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return round(float(found), 1)


def row(path: Path, batches: int, size: int, threads: int) -> dict[str, object]:
    """Returns what was found of one model with some number of threads."""
    some = case(path, batches + WARM_UP, size, threads)
    runs = {"plain": some.plain(), "naive": some.naive()}
    seconds = paired(some, runs | torch_runs(path.stem, some.size, threads))
    against = {"measure": "plain", "naive": "plain", "hooks": "torch"}
    ratios = {
        name: spread([a / b for a, b in zip(seconds[name], seconds[base], strict=True)])
        for name, base in against.items()
        if name in seconds
    }
    return {
        "model": path.stem,
        "threads": threads,
        "taps": len(some.taps),
        "batch": some.size,
        "batches": batches,
        "milliseconds": {name: spread([1e3 * v for v in vs]) for name, vs in seconds.items()},
        "ratio": ratios,
        "peak_mib": {
            way: {str(n): peak(path, way, n, size, threads) for n in (FEW, batches)}
            for way in ("plain", "measure", "naive")
        },
    }


def go(some: Case, way: str) -> None:
    """Goes through all batches in one way."""
    if way == "measure":
        some.measure()
        return
    run = some.plain() if way == "plain" else some.naive()
    for _ in some.data.batches(some.size):
        run()


def main() -> None:
    """Prints a row for each model and number of threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--way", choices=["plain", "measure", "naive"])
    arguments = parser.parse_args()
    batches, size = arguments.batches, arguments.batch
    if arguments.way:
        go(case(arguments.models[0], batches, size, arguments.threads[0]), arguments.way)
        print(memory("VmHWM"))
        return
    rows = [row(p, batches, size, n) for p in arguments.models for n in arguments.threads]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
