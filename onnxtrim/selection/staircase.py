"""The step at which convolutions get faster on this machine, measured once and remembered.

ONNX Runtime computes convolutions in blocks of channels, so that time over width is a staircase. A
chain of convolutions as wide as several blocks is timed, and again with 4, 8 and 16 channels less.
The work falls to (1 - s / width)^2; a step pays if at least half of what it saves in work is saved
in time. The answer is the smallest of 4, 8, 16 that pays, and from which on all do.
"""

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from platformdirs import user_cache_path

from onnxtrim.errors import OutputError
from onnxtrim.graph.edit import new_initializer
from onnxtrim.graph.runtime import RUNTIME_VERSION, Runner
from onnxtrim.graph.save import atomic_write

__all__ = ["STEPS", "cached_step", "measured_step", "step_of"]

STEPS = (4, 8, 16)
_WIDTH, _SIZE, _LAYERS = 64, 14, 4
_RUNS = 25
_SHARE_SAVED = 0.5


def cached_step(file: Path | None = None) -> int:
    """Returns the step of this machine and version of the runtime, measured where it is not known.

    Args:
        file: where steps are remembered; a file of the user's cache by default. One that cannot be
            read or written only means that the step is measured again.
    """
    file = file or user_cache_path("onnxtrim") / "steps.json"
    known = _remembered(file)
    key = "/".join((platform.node(), platform.machine(), platform.processor(), RUNTIME_VERSION))
    if known.get(key) not in STEPS:
        known[key] = measured_step()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(file, json.dumps(known, indent=1) + "\n")
        except (OSError, OutputError):
            return known[key]
    return known[key]


def measured_step() -> int:
    """Returns the step in channels at which convolutions get faster here: 4, 8 or 16."""
    widths = (_WIDTH, *(_WIDTH - step for step in STEPS))
    runners = {width: Runner(_chain(width), threads=1) for width in widths}
    inputs = {width: {"x": np.ones((1, width, _SIZE, _SIZE), np.float32)} for width in widths}
    best = dict.fromkeys(widths, float("inf"))
    for _ in range(_RUNS):  # in turn, so that all see the same state of the machine
        for width, runner in runners.items():
            start = time.perf_counter()
            runner(inputs[width])
            best[width] = min(best[width], time.perf_counter() - start)
    return step_of(best)


def step_of(times: Mapping[int, float]) -> int:
    """Returns the smallest step that pays, and from which on all do; the largest if none does.

    Args:
        times: seconds a run by width: of the widest, and of each of `STEPS` below it.
    """
    width = max(times)
    pays = [
        1 - times[width - step] / times[width] > _SHARE_SAVED * (1 - (1 - step / width) ** 2)
        for step in STEPS
    ]
    return next((s for i, s in enumerate(STEPS) if all(pays[i:])), STEPS[-1])


def _remembered(file: Path) -> dict[str, int]:
    """Returns the steps in a file; none where it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _chain(width: int) -> ir.Model:
    """Returns convolutions of `width` channels behind one another, which share a weight."""
    sizes = ir.Shape((1, width, _SIZE, _SIZE))
    x = ir.Value(name="x", shape=sizes, type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 13}, name="staircase")
    mean = np.full((width, width, 3, 3), 1 / (9 * width), np.float32)
    weight, value = new_initializer(graph, "weight", mean), x
    for index in range(_LAYERS):
        output = ir.Value(name=f"y{index}", shape=sizes, type=x.type)
        pads = ir.convenience.convert_attribute("pads", [1, 1, 1, 1])
        graph.append(ir.Node("", "Conv", [value, weight], [pads], outputs=[output]))
        value = output
    graph.outputs.append(value)
    return ir.Model(graph, ir_version=8)
