"""Measures how long a model waits for its images; prints JSON.

    python tools/bench/pipeline.py ASSETS [--images 1000] [--batch-size 64] [--folder DIR]

JPEG files of the data in ASSETS go to a temporary folder: CIFAR-10 (32x32) for a ResNet-20, and
ImageNet (shorter side 256) for a MobileNetV2 with a fixed batch of one. Each model runs over them
as `measure` does. Reported are the share of the time it waits for a batch, with batches read ahead
and without, the seconds of both, and those that the model takes on batches in memory.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from onnxtrim.calibration.data.dataset import Batch, Dataset
from onnxtrim.calibration.data.feeding import batch_size, input_specs, padded_batches
from onnxtrim.calibration.data.source import open_data
from onnxtrim.config import DataConfig
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner


@dataclass(frozen=True, slots=True)
class Case:
    """A model and what its images need, below the folder of assets."""

    model: str
    data: str
    prefix: str
    config: DataConfig


CASES = {
    "cifar10, resnet20": Case(
        "models/cifar10_resnet20.onnx",
        "data/cifar10_jpeg.npz",
        "test_",
        DataConfig(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ),
    "imagenet, mobilenetv2": Case(
        "models/mobilenetv2_1.0_224_imagenet.dequant.onnx",
        "data/imagenet_sample_256.npz",
        "",
        DataConfig(crop=0.875, scale=1 / 127.5, mean=(1.0,)),
    ),
}


def write_images(source: Path, prefix: str, count: int, folder: Path) -> None:
    """Writes the first images of a file of JPEG bytes to a folder."""
    with np.load(source) as stored:
        blob, offsets = stored[f"{prefix}blob"], stored[f"{prefix}offsets"]
    for i, (start, end) in enumerate(islice(pairwise(offsets), count)):
        (folder / f"{i:05}.jpg").write_bytes(blob[start:end].tobytes())


def timed(runner: Runner, batches: Iterable[Batch]) -> tuple[float, float]:
    """Returns the seconds of running over `batches`, and those spent waiting for them."""
    waited, start = 0.0, time.perf_counter()
    source, before = iter(batches), time.perf_counter()
    while (batch := next(source, None)) is not None:
        waited += time.perf_counter() - before
        runner(batch.inputs)
        before = time.perf_counter()
    end = time.perf_counter()
    return end - start, waited + end - before


def row(case: Case, assets: Path, folder: Path, images: int, wanted: int) -> dict[str, object]:
    """Returns what is measured on one case."""
    write_images(assets / case.data, case.prefix, images, folder)
    model = normalize(load(assets / case.model))
    specs = input_specs(model)
    size = batch_size(specs, wanted)
    data: Dataset = open_data(folder, specs, case.config)
    runner = Runner(model)
    held = list(data.batches(size))
    timed(runner, held)  # warm, as the files now are
    model_only, _ = timed(runner, held)
    ahead, waited_ahead = timed(runner, padded_batches(data, specs, wanted))
    in_turn, waited_in_turn = timed(runner, data.batches(size))
    return {
        "images": len(data),
        "batch_size": size,
        "model_only_s": round(model_only, 3),
        "ahead_s": round(ahead, 3),
        "ahead_waiting": round(waited_ahead / ahead, 4),
        "in_turn_s": round(in_turn, 3),
        "in_turn_waiting": round(waited_in_turn / in_turn, 4),
    }


def main() -> None:
    """Prints a row for every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("assets", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--folder", help="where to make the temporary folders")
    arguments = parser.parse_args()
    rows = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory(prefix="onnxtrim-", dir=arguments.folder) as folder:
            rows[name] = row(
                case, arguments.assets, Path(folder), arguments.images, arguments.batch_size
            )
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
