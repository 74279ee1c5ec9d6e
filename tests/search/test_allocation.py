"""The budget goes where it costs the outputs least, and the best of several ways is taken."""

from typing import Any

import numpy as np
import pytest
from known import LIVE, READING, network, samples

from onnxtrim.clock import Clock
from onnxtrim.config import PruneConfig
from onnxtrim.search import Decision, decide
from onnxtrim.search.allocation import WAYS, shared_by_error
from onnxtrim.search.informed import informed
from onnxtrim.search.trials import Bench, judge_of
from onnxtrim.selection import Queue, queues_of
from onnxtrim.subject import Subject, prepare

SECOND = prepare(network("two"), samples(), READING)


def bench(subject: Subject, **options: Any) -> tuple[Bench, PruneConfig]:  # noqa: ANN401
    config = PruneConfig(align="none", **options)
    judge = judge_of(subject, subject.data, None, READING)
    plain = Bench(subject, subject.channel_map, judge, READING)
    return informed(plain, subject.data, config, None), config


def decided(subject: Subject = SECOND, **options: Any) -> Decision:  # noqa: ANN401
    config = PruneConfig(**{"align": "none", **options})
    return decide(subject, subject.channel_map, config, READING, None, Clock(), None)


def widths(found: Decision, subject: Subject = SECOND) -> dict[str, int]:
    removed = found.choice.removed
    return {g.name: int((~np.isin(g.units, removed)).sum()) for g in subject.channel_map.groups}


def test_keys_are_the_error_of_half_a_group_shared_by_scores_over_what_a_unit_saves() -> None:
    tried, config = bench(SECOND, macs=0.7)
    scores = {"one": np.arange(1.0, 9.0), "two": np.tile([0.0, 1.0], 8)}  # the odd ones are alive
    queues = queues_of(SECOND.channel_map, scores, config)
    found = shared_by_error(tried, queues, scores, config)
    one = SECOND.channel_map.groups[0]
    error = tried.glance(np.sort(one.units[:4])) ** 2
    assert error > 0.01  # all of the first layer is needed
    # A unit of it saves 8 products in front, and 16 behind.
    np.testing.assert_allclose(found["one"].keys, error * np.arange(1.0, 9.0) / 10 / 24, rtol=1e-6)
    assert isinstance(found["two"], Queue)
    assert found["two"].keys.max() < found["one"].keys.min()


def test_what_is_dead_goes_and_nothing_of_the_layer_that_is_needed() -> None:
    """Inputs are one-hot: in each layer, one of the living units is one minus the others."""
    found = decided(macs=0.75)
    assert widths(found)["one"] >= 7
    live = SECOND.channel_map.groups[1].units[list(LIVE["two"])]
    assert np.isin(live, found.choice.removed).sum() <= 1
    assert widths(found)["two"] <= 12  # so that at least 3 of the 8 dead ones are gone


def test_the_ways_are_compared_and_the_best_is_taken() -> None:
    found = decided(macs=0.5)
    assert {row.criterion for row in found.allocations} == set(WAYS)
    assert [row.chosen for row in found.allocations] == [True, False, False]
    errors = [row.relative_error for row in found.allocations]
    assert errors == sorted(errors)
    assert all(row.macs <= 0.5 for row in found.allocations)


@pytest.mark.parametrize(
    "options",
    [
        {"macs": 0.5, "allocate": "scores"},
        {"macs": 0.5, "allocate": "error"},
        {"macs": 0.5, "scope": "layer"},
        {"macs": 0.5, "compensate": "none"},
        {"max_drop": 0.5},
    ],
)
def test_one_way_alone_is_compared_with_none(options: dict[str, Any]) -> None:
    assert decided(**options).allocations == ()


def test_a_bench_knows_what_readers_read_where_the_result_is_compensated() -> None:
    linear, _ = bench(SECOND)
    assert linear.moments.keys() == {"w2", "w3"}
    assert linear.few is not None
    assert bench(SECOND, compensate="mean")[0].moments == {}
    plain, _ = bench(SECOND, compensate="none")
    assert (plain.moments, plain.few) == ({}, None)


def test_the_error_shares_a_budget_where_nothing_is_compensated_too() -> None:
    found = decided(macs=0.75, allocate="error", compensate="none")
    assert widths(found)["one"] == 8
    assert bench(SECOND, compensate="none", allocate="error")[0].moments == {}


def test_a_file_that_must_not_grow_gets_no_biases() -> None:
    assert bench(SECOND)[0].grow
    assert not bench(SECOND, params=0.5)[0].grow
    assert not bench(SECOND, size="1MB")[0].grow
