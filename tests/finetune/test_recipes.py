"""Recipes with tuning, by their names, on the LeNet of the digits; and the same after a kill.

A run is killed as the system kills: at any moment, with no word. What it has come to is in its
folder, and gone on with it comes to the same plan and weights, to the bit.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from oracle import proto_of

import onnxtrim
from onnxtrim.errors import UsageError
from onnxtrim.schedule.recipe import recipes

MODELS = Path(__file__).parents[2] / "models"
LENET, DIGITS = MODELS / "lenet-digits.onnx", MODELS / "digits"
NAMES = [recipe.name for recipe in recipes() if recipe.name != "slimming"]
RNG = np.random.default_rng(11)
SCALED = proto_of(
    """<ir_version: 8, opset_import: ["": 13]>
    net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
      [conv] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
      [bn] n = BatchNormalization (c, scale, shift, mean, var)
      r = Relu (n)
      p = GlobalAveragePool (r)
      f = Flatten (p)
      [head] y = Gemm (f, w)
    }""",
    {
        "k": RNG.normal(size=(12, 2, 3, 3)).astype("f4"),
        "scale": RNG.uniform(0.2, 1.5, size=12).astype("f4"),
        "shift": np.zeros(12, "f4"),
        "mean": np.zeros(12, "f4"),
        "var": np.full(12, 18.0, "f4"),
        "w": RNG.normal(size=(12, 3)).astype("f4"),
    },
)
INPUTS = RNG.normal(size=(120, 2, 6, 6)).astype("f4")

pytestmark = pytest.mark.usefixtures("installed")


def weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    initializers = onnx.load(path).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in initializers}


def command(recipe: str, folder: Path, *more: str) -> list[str]:
    """Returns a run on one thread: the order of sums is then the same each time."""
    return [
        *(sys.executable, "-m", "onnxtrim", str(LENET), "--data", str(DIGITS)),
        *("--recipe", recipe, "--threads", "1", "--samples", "200", "-q"),
        *("-o", str(folder / "out.onnx"), "--plan", str(folder / "plan.json"), *more),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_takes_less_than_a_minute(name: str) -> None:
    start = time.perf_counter()
    found = onnxtrim.prune(LENET, DIGITS, recipe=name)
    assert time.perf_counter() - start < 60
    report = found.report
    assert report.settings["recipe"] == name
    assert report.tuning is not None
    assert all(step.metric_tuned is not None for step in report.steps)
    if name == "iterative-weights":
        assert report.sparsity is not None
        assert report.sparsity.sparsity == pytest.approx(0.8, abs=1e-3)
    else:
        assert report.after.params < report.before.params


def test_slimming_trains_first_then_cuts_by_scale() -> None:
    found = onnxtrim.prune(SCALED, INPUTS, recipe="slimming", align="none", slim=1e-2, threads=1)
    trained, cut = found.report.steps
    assert trained.widths == {"conv": 12}
    assert trained.params == found.report.before.params
    assert cut.params <= 0.5 * found.report.before.params
    assert found.report.settings["slim_epochs"] == 3


def test_slimming_says_what_to_do_where_scales_are_folded() -> None:
    with pytest.raises(UsageError, match=r"BatchNormalization .*export"):
        onnxtrim.prune(LENET, DIGITS, recipe="slimming", threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_moment_it_comes_to_the_same(name: str, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    start = time.perf_counter()
    subprocess.run(command(name, whole), check=True)
    seconds = time.perf_counter() - start
    rng, kills = np.random.default_rng(len(name)), 0
    go_on = command(name, stopped, "--workdir", str(stopped / "run"), "--resume")
    for _ in range(3):
        run = subprocess.Popen(go_on, start_new_session=True)
        time.sleep(float(rng.uniform(0.2, 0.9)) * seconds / 2)
        if run.poll() is None:
            kills += 1
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert kills
    subprocess.run(go_on, check=True)
    plans = [json.loads((folder / "plan.json").read_text()) for folder in (whole, stopped)]
    assert plans[0] == plans[1]
    mine, its = weights(whole / "out.onnx"), weights(stopped / "out.onnx")
    assert mine.keys() == its.keys()
    assert all(np.array_equal(mine[key], its[key]) for key in mine)
