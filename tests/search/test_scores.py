"""Criteria applied: one pass over the data for all of them, then every group is scored."""

from typing import Any

import numpy as np
import pytest
from known import CLASSES, LIVE, READING, bench_of, network, samples
from oracle import proto_of

from onnxtrim.config import CriterionName, PruneConfig
from onnxtrim.criteria import CRITERIA
from onnxtrim.search import measured, measured_for, scored_by

BENCH = bench_of(network("two"), samples())
TAPS = {"one": ("b", 1), "two": ("d", 1)}


def means() -> dict[str, Any]:
    """Returns the mean activations by hand: a class fires in one sample of eight."""
    strength = (1 + np.arange(CLASSES) / CLASSES) / CLASSES
    two = np.zeros(16)
    two[list(LIVE["two"])] = strength
    return {"one": strength, "two": two}


def test_statistics_are_taken_of_all_data_at_once() -> None:
    heard: list[tuple[str, int, int]] = []
    rules = [CRITERIA["mean"], CRITERIA["apoz"]]
    found = measured_for(BENCH, rules, BENCH.subject.data, lambda *what: heard.append(what))
    assert found is not None
    assert found.samples == 80
    assert {what for what, _, _ in heard} == {"measuring"}
    assert [done for _, done, _ in heard][-1] == 80
    assert found.statistics.keys() == set(TAPS.values())
    for name, key in TAPS.items():
        statistics = found.statistics[key]
        assert statistics.keys() == {"mean", "zeros"}
        np.testing.assert_allclose(statistics["mean"], means()[name], rtol=1e-6)
        zeros = np.where(means()[name] > 0, 7 / 8, 1.0)
        np.testing.assert_allclose(statistics["zeros"], zeros, rtol=1e-6)


@pytest.mark.parametrize(("name", "needs"), [("l1", False), ("random", False), ("mean", True)])
def test_nothing_is_run_for_weights_alone(name: CriterionName, needs: bool) -> None:
    found = measured_for(BENCH, [CRITERIA[name]], BENCH.subject.data, None)
    assert (found is not None) == needs


def test_without_data_taps_or_statistics_nothing_is_measured() -> None:
    subject = BENCH.subject
    taps = [tap for group in BENCH.channel_map.groups for tap in group.taps]
    assert measured(subject, taps, ["mean"], None, READING, None) is None
    assert measured(subject, [], ["mean"], subject.data, READING, None) is None
    assert measured(subject, taps, [], subject.data, READING, None) is None


def test_every_group_is_scored_by_the_rule() -> None:
    rule = CRITERIA["mean"]
    found = measured_for(BENCH, [rule], BENCH.subject.data, None)
    scoring = scored_by(BENCH, rule, found, PruneConfig())
    assert scoring.stand_ins == ()
    assert scoring.scores.keys() == TAPS.keys()
    for name, scores in scoring.scores.items():
        np.testing.assert_allclose(scores, means()[name], rtol=1e-6)


def test_the_seed_and_the_reduction_are_those_of_the_options() -> None:
    random = CRITERIA["random"]
    by_seed = [scored_by(BENCH, random, None, PruneConfig(seed=s)).scores["two"] for s in (1, 1, 2)]
    assert by_seed[0].tolist() == by_seed[1].tolist() != by_seed[2].tolist()
    tied = bench_of(shared())
    # Two writers of one group: 1, 2, 3 and 5, 0, 1; l1 of a single weight is its size.
    scores = {
        how: scored_by(tied, CRITERIA["l1"], None, PruneConfig(reduce=how)).scores["left"].tolist()
        for how in ("mean", "max", "sum", "first")
    }
    assert scores == {
        "mean": [3.0, 1.0, 2.0], "max": [5.0, 2.0, 3.0], "sum": [6.0, 2.0, 4.0],
        "first": [1.0, 2.0, 3.0],
    }  # fmt: skip


def shared() -> Any:  # noqa: ANN401 - an onnx.ModelProto
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1] x) => (float[N, 2] y) {
      [left] a = Gemm(x, w1)
      [right] b = Gemm(x, w2)
      [sum] c = Add(a, b)
      [act] r = Relu(c)
      [last] y = Gemm(r, w3)
    }"""
    weights = {"w1": [[1, 2, 3]], "w2": [[5, 0, 1]], "w3": np.ones((3, 2))}
    return proto_of(text, {k: np.array(v, np.float32) for k, v in weights.items()})
