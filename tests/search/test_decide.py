"""The whole decision: what is measured, what is held out, which budget takes which way."""

from typing import Any

import numpy as np
import pytest
from known import CLASSES, LIVE, READING, network, samples
from oracle import proto_of

from onnxtrim.channels import ChannelMap
from onnxtrim.clock import Clock
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError, UsageError
from onnxtrim.search import Decision, decide
from onnxtrim.selection import Alignment
from onnxtrim.subject import Subject, prepare

BOTH = prepare(network("one", "two"), samples(), READING)
SECOND = prepare(network("two"), samples(), READING)
BARE = prepare(network("one", "two"), None, READING)


def decided(
    subject: Subject = BOTH,
    metric: Any = None,  # noqa: ANN401 - a function
    channel_map: ChannelMap | None = None,
    **options: Any,  # noqa: ANN401 - options are of many types
) -> Decision:
    config = PruneConfig(**{"criterion": "mean", "align": "none", "compensate": "none", **options})
    groups = channel_map or subject.channel_map
    return decide(subject, groups, config, READING, metric, Clock(), None)


def kept(found: Decision, subject: Subject = BOTH) -> dict[str, tuple[int, ...]]:
    return {
        g.name: tuple(np.flatnonzero(~np.isin(g.units, found.choice.removed)).tolist())
        for g in subject.channel_map.groups
    }


def test_a_drop_is_judged_by_samples_that_nothing_was_measured_on() -> None:
    found = decided(max_drop=0.0)
    assert kept(found) == LIVE
    assert found.held_out is not None
    assert len(found.held_out) == 16  # a fifth of 80
    assert found.measurements is not None
    assert found.measurements.samples == 64
    (batch,) = found.held_out.batches(99)
    x, labels = samples()
    assert batch.labels is not None
    counts = {tuple(row): int((x == row).all(axis=1).sum()) for row in x}
    rest = sum(x[labels == k][0] * (10 - int((batch.labels == k).sum())) for k in range(CLASSES))
    assert set(counts.values()) == {10}
    mean = found.measurements.statistics["b", 1]["mean"][list(LIVE["one"])]
    np.testing.assert_allclose(mean, rest / 64, rtol=1e-6)


def test_the_judge_has_the_samples_held_out_and_no_others() -> None:
    """A sample with a wrong label among those held out costs a sixteenth; others cost nothing."""
    x, labels = samples()
    found = decided(max_drop=0.0)
    assert found.judge is not None
    assert found.held_out is not None
    values = []
    for index in range(16):
        wrong = labels.copy()
        wrong[index] = (wrong[index] + 1) % CLASSES
        subject = prepare(network("one", "two"), (x, wrong), READING)
        judge = decided(subject, max_drop=1.0).judge
        assert judge is not None
        values.append(judge(subject.model).metric.before)
    assert set(values) == {1.0, 15 / 16}


@pytest.mark.parametrize(("count", "held_out"), [(4, None), (5, 1), (24, 5)])
def test_of_a_handful_none_is_held_out(count: int, held_out: int | None) -> None:
    x, labels = samples()
    found = decided(
        prepare(network("one", "two"), (x[:count], labels[:count]), READING), max_drop=1.0
    )
    assert found.measurements is not None
    assert found.measurements.samples == count - (held_out or 0)
    assert found.judge is not None
    assert (None if found.held_out is None else len(found.held_out)) == held_out


def test_without_a_drop_all_samples_are_for_both() -> None:
    found = decided(ratio=0.5)
    assert found.held_out is None
    assert found.measurements is not None
    assert found.measurements.samples == 80
    assert kept(found) == LIVE
    assert found.latency is None
    assert found.candidates == ()


def test_weights_need_no_data() -> None:
    found = decided(BARE, ratio=0.5, criterion="l1")
    assert found.measurements is None
    assert found.judge is None
    dead = {n: tuple(i for i in range(16) if i not in live) for n, live in LIVE.items()}
    assert kept(found, BARE) == dead


def test_only_groups_of_the_map_are_cut() -> None:
    held = BOTH.channel_map.restricted((), ("one",))
    found = decided(channel_map=held, max_drop=0.0)
    assert kept(found) == {"one": tuple(range(16)), "two": LIVE["two"]}
    assert found.scores.keys() == {"two"}


@pytest.mark.parametrize("options", [{"ratio": 0.5}, {"max_drop": 0.0}, {"macs": 0.5}])
def test_auto_compares_plans_for_the_budget(options: dict[str, Any]) -> None:
    found = decided(criterion="auto", **options)
    assert found.candidates[0].chosen
    assert found.candidates[0].relative_error == 0.0
    assert len({row.macs for row in found.candidates}) == 1
    share = found.candidates[0].macs
    if "ratio" in options:
        assert share == 200 / 528
    else:
        # half way to the thinnest, 2 and 2 units: 16 + 4 + 18 of 528
        assert share <= (0.5 if "macs" in options else (528 + 38) / 2 / 528)
    assert set(LIVE["one"]) <= set(kept(found)["one"])
    assert set(LIVE["two"]) <= set(kept(found)["two"])


def test_sensitivity_shares_the_budget() -> None:
    """Of equal shares the first layer, of which all are needed, would lose some."""
    options: dict[str, Any] = {"macs": 0.7, "criterion": "mean", "scope": "global"}
    names = {"normalize": "none", **options}
    found = decided(SECOND, allocate="sensitivity", **names)
    assert kept(found, SECOND)["one"] == tuple(range(8))
    assert set(LIVE["two"]) <= set(kept(found, SECOND)["two"])
    by_layer = decided(SECOND, **{**options, "scope": "layer"})
    assert len(kept(by_layer, SECOND)["one"]) < 8


class TestBelowStd:
    """The rule of Network Trimming in place of a budget."""

    def test_what_is_far_below_the_mean_goes(self) -> None:
        """Half are 0, half 1 to 1.875 eighths: 0 is 0.97 deviations below the mean."""
        strength = np.concatenate([np.zeros(8), 1 + np.arange(8) / 8])
        depth = strength.mean() / strength.std()
        assert kept(decided(below_std=depth - 0.01)) == LIVE
        with pytest.raises(BudgetError) as caught:
            decided(below_std=depth + 0.01)
        assert str(caught.value) == (
            f"--below-std {depth + 0.01:g}: no group has enough scores that far below its mean to "
            "fill a step of 1 channels; lower it, or give --align none"
        )


def test_the_clock_and_the_listener_hear_of_it() -> None:
    heard: list[str] = []
    options: dict[str, Any] = {"criterion": "auto", "allocate": "sensitivity"}
    clock, config = Clock(), PruneConfig(max_drop=0.0, compensate="none", **options)
    decide(
        BOTH, BOTH.channel_map, config, READING, None, clock, lambda what, *_: heard.append(what)
    )
    assert list(dict.fromkeys(heard)) == ["measuring", "trying criteria", "trying groups"]
    assert clock.seconds.keys() == {"measure", "choose"}


@pytest.mark.parametrize(
    ("option", "amount"),
    [("latency", 0), ("latency", "12"), ("latency", "8MB"), ("macs", "8MB"), ("size", "12ms")],
)
def test_amounts_that_make_no_sense_are_refused_before_anything_runs(
    option: str, amount: float | str
) -> None:
    heard: list[str] = []
    config = PruneConfig(**{option: amount})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=rf"^--{option} {amount}: give a fraction"):
        decide(
            BOTH,
            BOTH.channel_map,
            config,
            READING,
            None,
            Clock(),
            lambda what, *_: heard.append(what),
        )
    assert heard == []


def test_where_whole_steps_are_too_wide_smaller_ones_come_with_a_warning() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[1, 3, 2, 2] x) => (float[1, 2, 2, 2] y) {
      [one] a = Conv(x, w1)
      [act] r = Relu(a)
      [last] y = Conv(r, w2)
    }"""  # noqa: E501
    shapes = {"w1": (32, 3, 1, 1), "w2": (2, 32, 1, 1)}
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    subject = prepare(proto_of(text, weights), None, READING)
    options: dict[str, Any] = {"criterion": "random", "align": "openvino"}
    whole = decided(subject, macs=0.5, **options)
    assert (len(whole.choice.removed), whole.choice.alignment) == (16, Alignment(16, 16))
    assert whole.warnings == ()
    below = decided(subject, macs=0.3, **options)
    assert (len(below.choice.removed), below.choice.alignment) == (24, Alignment(16, 4))
    assert below.warnings == (
        "the budget cannot be met in steps of 16 channels, which the runtime is fast at; groups "
        "were cut below that in steps of 4, which saves MACs but no time",
    )
