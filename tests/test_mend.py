"""A cut model is compensated where that is asked for and helps, and promises are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxtrim
from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.calibration.tapped import second_moments
from onnxtrim.channels import analyze
from onnxtrim.channels.ops import products_of
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.graph import load, normalize
from onnxtrim.mend import Mending, mended, mending_of
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

ROOT = Path(__file__).parents[1]
MODEL, DIGITS = ROOT / "models" / "lenet-digits.onnx", ROOT / "models" / "digits"
HALF: dict[str, Any] = {"macs": 0.5, "align": "none", "threads": 1, "samples": 120}


@pytest.fixture(scope="module")
def both() -> dict[str, onnxtrim.PruneResult]:
    """Returns the LeNet cut in one way, compensated and not."""
    plain = onnxtrim.prune(MODEL, DIGITS, compensate="none", **HALF)
    return {
        "none": plain,
        "auto": onnxtrim.apply(MODEL, plain.plan, DIGITS, samples=120, threads=1),
    }


def test_the_outputs_are_nearer_to_the_original(both: dict[str, onnxtrim.PruneResult]) -> None:
    errors = {way: result.report.relative_error for way, result in both.items()}
    assert errors["none"] is not None
    assert errors["auto"] is not None
    assert errors["auto"] < errors["none"] / 4
    found = both["auto"].report.compensation
    assert both["none"].report.compensation is None
    assert found is not None
    assert found.way == "linear"
    assert found.fits == {"linear": ("conv2", "fc1", "fc2")}
    assert (found.samples, found.held_out) == (102, 18)


def test_the_plan_and_what_it_costs_are_the_same(both: dict[str, onnxtrim.PruneResult]) -> None:
    plain, better = both["none"], both["auto"]
    assert better.plan == plain.plan
    assert better.report.after.macs == plain.report.after.macs
    assert better.report.after.params == plain.report.after.params
    assert better.report.verification == plain.report.verification


def test_the_same_run_gives_the_same_weights() -> None:
    few = {**HALF, "samples": 60, "seed": 3}
    once, again = (onnxtrim.prune(MODEL, DIGITS, **few) for _ in range(2))
    assert once.plan == again.plan
    for name, value in once.model.graph.initializers.items():
        other = again.model.graph.initializers[name].const_value
        assert value.const_value is not None
        assert other is not None
        np.testing.assert_array_equal(value.const_value.numpy(), other.numpy())


def test_what_is_written_keeps_what_was_promised_of_the_metric() -> None:
    result = onnxtrim.prune(MODEL, DIGITS, align="none", max_drop=0.0, macs=0.6)
    before, after = result.report.before.metric, result.report.after.metric
    assert before is not None
    assert after is not None
    assert after.value >= before.value


@pytest.mark.parametrize("budget", [{"params": 0.5}, {"size": 0.5}])
def test_a_budget_of_parameters_or_bytes_is_kept(budget: dict[str, float]) -> None:
    """The convolutions have no biases: those that compensation would make do not fit in."""
    proto = onnx.load(MODEL)
    for node in proto.graph.node:
        if node.op_type == "Conv":
            del node.input[2:]
    kept = [
        t for t in proto.graph.initializer if not t.name.startswith("conv") or "weight" in t.name
    ]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    result = onnxtrim.prune(proto, DIGITS, align="none", samples=60, **budget)  # type: ignore[arg-type]
    before, after = result.report.before, result.report.after
    assert after.params <= 0.5 * before.params or after.bytes <= 0.5 * before.bytes
    names = set(result.model.graph.initializers)
    assert names <= {t.name for t in kept}
    free = onnxtrim.prune(proto, DIGITS, align="none", samples=60, macs=0.5)
    assert set(free.model.graph.initializers) - {t.name for t in kept} == {"conv2.weight.bias"}


def test_a_broken_promise_is_kept_by_the_way_that_kept_it() -> None:
    """Fitted to blank images, layer by layer, the model is worse than by moments of digits."""
    model = normalize(load(MODEL))
    channel_map, specs = analyze(model), input_specs(model)
    removed = np.sort(np.concatenate([g.units[: g.width // 4] for g in channel_map.groups]))
    plan = make_plan(channel_map, model.graph.initializers, removed, "")
    thinner, kept = cut(model, channel_map, plan), channel_map.without(removed)
    digits = open_data(DIGITS, specs, DataConfig())
    blank = open_data({"image": np.zeros((40, 1, 28, 28), "f4")}, specs, DataConfig())
    moments = second_moments(model, products_of(model), digits)
    judge, reading = Judge(model, digits), DataConfig()
    ways = {
        promise: mended(
            model,
            thinner,
            kept,
            Mending(blank, ("linear",), moments=moments, promise=promise),
            reading,
            judge,
        )
        for promise in (None, 0.02)
    }
    assert ways[None][1].way == "linear"
    assert judge(ways[None][0]).metric.drop > 0.02
    assert ways[0.02][1].way == "local"
    assert judge(ways[0.02][0]).metric.drop <= 0.02


def test_without_data_or_where_it_is_not_asked_for_nothing_is_done() -> None:
    model = normalize(load(MODEL))
    data = open_data(DIGITS, input_specs(model), DataConfig())
    assert mending_of(PruneConfig(macs=0.5), None, {}) is None
    assert mending_of(PruneConfig(macs=0.5, compensate="none"), data, {}) is None
    found = mending_of(PruneConfig(macs=0.5, compensate="mean", refresh=3, seed=4), data, {})
    assert found is not None
    assert (found.ways, found.refresh, found.seed, found.grow) == (("mean",), 3, 4, True)
