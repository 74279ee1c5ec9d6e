"""Measures the memory of a run on a model whose weights lie in a file beside it; prints JSON.

    python tools/bench/memory.py [--megabytes 500] [--width 2048] [--folder DIR]

A chain of layers (MatMul, Add, Relu and Gemm, Relu by turns, float32) is written layer by layer to
a temporary folder. A fresh process loads, normalises and analyses it, takes half of every group
away and saves. Reported, in MiB above that process with its imports done, are the highest resident
memory (pages of mapped files count, though the system can take those back) and the highest that is
no file's; besides the seconds of each step and the bytes written. Linux only.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxtrim.channels import analyze
from onnxtrim.graph import load, normalize, save
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

MIB = 2**20
CLEAR = Path("/proc/self/clear_refs")
PERIOD = 0.002

T = TypeVar("T")


def write_model(path: Path, size: int, width: int) -> int:
    """Returns how many bytes of weights the model at `path` has: `size`, up to a layer."""
    layers = max(2, size // (4 * width * (width + 1)))
    rng = np.random.default_rng(1)
    nodes, weights, end = [], [], 0
    with path.with_name(f"{path.name}.data").open("wb") as file:

        def weight(name: str, *shape: int) -> str:
            array = rng.standard_normal(shape, dtype=np.float32) / np.float32(width**0.5)
            array.tofile(file)
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": Path(file.name).name, "offset": end, "length": array.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            weights.append(tensor)
            return name

        x = "x"
        for i in range(layers):
            w = weight(f"w{i}", width, width)
            end = file.tell()
            b = weight(f"b{i}", width)
            end = file.tell()
            if i % 2:
                nodes.append(helper.make_node("Gemm", [x, w, b], [f"h{i}"], f"gemm{i}"))
            else:
                nodes.append(helper.make_node("MatMul", [x, w], [f"p{i}"], f"matmul{i}"))
                nodes.append(helper.make_node("Add", [f"p{i}", b], [f"h{i}"], f"add{i}"))
            x = f"x{i}"
            nodes.append(helper.make_node("Relu", [f"h{i}"], [x], f"relu{i}"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name in ("x", x)
    ]
    graph = helper.make_graph(nodes, "bench", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return end


def memory(*names: str, process: str = "self") -> float:
    """Returns the sum of some lines of the status of a process, in MiB."""
    text = Path(f"/proc/{process}/status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines())
    return sum(int(lines[name].split()[0]) for name in names) / 1024


class Watch:
    """Measures resident memory above that at the start, and the seconds of each step."""

    def __init__(self) -> None:
        """Starts to watch."""
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self._start, self._own = memory("VmRSS"), memory("RssAnon")
        self._highest = self._own
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def step(self, name: str, function: Callable[[], T]) -> T:
        """Returns what `function` does, and notes its seconds and peak."""
        with contextlib.suppress(OSError):  # where that is forbidden, peaks are those so far
            CLEAR.write_text("5")
        start = time.perf_counter()
        result = function()
        self.seconds[name] = round(time.perf_counter() - start, 3)
        self.peaks[name] = round(memory("VmHWM") - self._start, 1)
        return result

    def end(self) -> dict[str, object]:
        """Returns what was measured."""
        self._done.set()
        self._thread.join()
        return {
            "interpreter_mib": round(self._start, 1),
            "peak_mib": max(self.peaks.values()),
            "peak_without_files_mib": round(self._highest - self._own, 1),
            "peak_mib_by_step": self.peaks,
            "seconds": self.seconds,
        }

    def _sample(self) -> None:
        """Keeps the highest memory that is no file's."""
        while not self._done.wait(PERIOD):
            self._highest = max(self._highest, memory("RssAnon"))


def run(source: Path, target: Path) -> dict[str, object]:
    """Returns the measurements of one run in this process."""
    watch = Watch()
    model = watch.step("load", lambda: load(source))
    model = watch.step("normalize", lambda: normalize(model))
    channels = watch.step("analyze", lambda: analyze(model))
    half = [group.units[: group.width // 2] for group in channels.groups]
    removed = np.sort(np.concatenate(half))
    plan = watch.step("plan", lambda: make_plan(channels, model.graph.initializers, removed, ""))
    thinner = watch.step("cut", lambda: cut(model, channels, plan))
    watch.step("save", lambda: save(thinner, target))
    return {
        **watch.end(),
        "units_removed": len(removed),
        "bytes_written": {file.name: file.stat().st_size for file in target.parent.iterdir()},
    }


def main() -> None:
    """Makes the model and prints what a fresh process measures on it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--folder", help="where to make the temporary folder")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SOURCE", "TARGET"))
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(*arguments.run)))
        return
    with tempfile.TemporaryDirectory(prefix="onnxtrim-", dir=arguments.folder) as name:
        source, target = Path(name) / "model.onnx", Path(name) / "thin" / "thin.onnx"
        target.parent.mkdir()
        size = write_model(source, arguments.megabytes * 10**6, arguments.width)
        command = [sys.executable, __file__, "--run", str(source), str(target)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(json.dumps({"weight_bytes": size, **json.loads(found)}, indent=1))


if __name__ == "__main__":
    main()
