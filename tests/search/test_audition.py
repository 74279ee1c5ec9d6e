"""`--criterion auto`: plans for one budget, and the outputs that say which was best."""

import numpy as np
import pytest
from known import LIVE, bench_of, network, samples

from onnxtrim.config import PruneConfig
from onnxtrim.criteria import CRITERIA, Scoring
from onnxtrim.report import CandidateRow
from onnxtrim.search import Bench, measured_for, scored_by
from onnxtrim.search.audition import audition, candidates
from onnxtrim.selection import Alignment, Budget, Choice, choose

BENCH = bench_of(network("one", "two"), samples())
CONFIG = PruneConfig(ratio=0.5, criterion="auto")


def taken(scoring: Scoring, bench: Bench = BENCH, config: PruneConfig = CONFIG) -> Choice:
    """Returns the plan that halves the units."""
    costs, plain = bench.subject.costs, [Alignment(1, 1)]
    return choose(bench.channel_map, scoring.scores, costs, config, plain, Budget())


def tried(bench: Bench = BENCH) -> tuple[Scoring, tuple[CandidateRow, ...]]:
    found = measured_for(bench, candidates(), bench.subject.data, None)
    return audition(bench, found, CONFIG, lambda scoring: taken(scoring, bench))


def test_those_that_take_gradients_are_left_out() -> None:
    names = {rule.name for rule in candidates()}
    assert names == set(CRITERIA) - {"taylor"}
    assert "random" in names


def test_a_criterion_that_finds_the_dead_units_wins() -> None:
    scoring, rows = tried()
    (chosen,) = [row for row in rows if row.chosen]
    assert chosen == rows[0]
    assert (chosen.relative_error, chosen.metric.name, chosen.metric.value) == (
        0.0,
        "accuracy",
        1.0,
    )
    assert not any("no criterion beats" in warning for warning in scoring.warnings)
    removed = taken(scoring).removed
    for group in BENCH.channel_map.groups:
        assert [i for i, unit in enumerate(group.units) if unit not in removed] == list(
            LIVE[group.name]
        )
    # Weights deceive: the dead units have the largest, so that all that live would go.
    by_name = {row.criterion: row for row in rows}
    for name in ("mean", "apoz", "abs", "std", "reconstruction", "weight-activation"):
        assert by_name[name].relative_error == 0.0
    for name in ("l1", "l2"):
        assert by_name[name].metric.value == 0.0


def test_every_candidate_is_judged_by_its_own_plan_best_first() -> None:
    _, rows = tried()
    errors = [row.relative_error for row in rows]
    assert errors == sorted(errors)
    found = measured_for(BENCH, candidates(), BENCH.subject.data, None)
    for row in rows:
        rule = next(rule for rule in candidates() if rule.name == row.criterion)
        removed = taken(scored_by(BENCH, rule, found, CONFIG)).removed
        quality = BENCH.quality(removed)
        assert row.relative_error == quality.relative_error
        assert row.metric.value == quality.metric.after
        # 528 multiply-accumulates at first; 8 + 16 + 16 + 9 is what two units share
        one = sum(unit not in removed for unit in BENCH.channel_map.groups[0].units)
        two = 32 - len(removed) - one
        assert row.macs == pytest.approx((8 * one + one * two + 9 * two) / 528, rel=1e-12)


def test_chance_is_shown_and_never_chosen() -> None:
    """Even where it is best: here only its plan spares the living."""
    chance = scored_by(BENCH, CRITERIA["random"], None, CONFIG).scores["one"].tolist()
    group = BENCH.channel_map.groups[0]
    living = group.units[list(LIVE["one"])]

    def take(scoring: Scoring) -> Choice:
        dead = scoring.scores["one"].tolist() == chance
        return Choice(np.setdiff1d(group.units, living) if dead else living, Alignment(1, 1))

    found = measured_for(BENCH, candidates(), BENCH.subject.data, None)
    scoring, rows = audition(BENCH, found, CONFIG, take)
    assert (rows[0].criterion, rows[0].relative_error, rows[0].chosen) == ("random", 0.0, False)
    assert [row.chosen for row in rows] == [False, True, *[False] * (len(rows) - 2)]
    warning = scoring.warnings[-1]
    assert warning.startswith("no criterion beats random scores")
    assert f"with {rows[1].criterion};" in warning
    rule = CRITERIA[rows[1].criterion]  # type: ignore[index]
    expected = scored_by(BENCH, rule, found, CONFIG).scores
    assert {n: s.tolist() for n, s in scoring.scores.items()} == {
        n: s.tolist() for n, s in expected.items()
    }


def test_one_that_means_nothing_anywhere_is_left_out() -> None:
    """Without a Relu there are no zeros to count; there is no normalisation to read, either."""
    model = network("one", "two")
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Tanh"
    _, rows = tried(bench_of(model, samples()))
    names = {row.criterion for row in rows}
    assert names == {rule.name for rule in candidates()} - {"apoz", "bn-scale"}
    _, rows = tried()
    assert {row.criterion for row in rows} == {r.name for r in candidates()} - {"bn-scale"}


def test_progress_is_told_criterion_by_criterion() -> None:
    heard: list[tuple[str, int, int]] = []
    found = measured_for(BENCH, candidates(), BENCH.subject.data, None)
    _, rows = audition(BENCH, found, CONFIG, taken, lambda *what: heard.append(what))
    assert heard == [("trying criteria", n + 1, len(rows)) for n in range(len(rows))]
