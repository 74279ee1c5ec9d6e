"""Budgets that only runs can tell, on networks of which the truth is known."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import CLASSES, LIVE, bench_of, network, samples
from oracle import proto_of

from onnxtrim.calibration import Latency, LatencyPair
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError
from onnxtrim.graph import save
from onnxtrim.graph.save import saved_bytes
from onnxtrim.search import Bench
from onnxtrim.search.budgets import Found, within_budgets
from onnxtrim.selection import Alignment, Budget, Ladder, ladders, queues_of

PLAIN = Alignment(1, 1)
BENCH = bench_of(network("one", "two"), samples())
MACS = 8 * 16 + 16 * 16 + 16 * 9


def scores_of(bench: Bench) -> dict[str, Any]:
    """Returns scores that know the truth: dead units are worth nothing, later classes more."""
    found = {}
    for group in bench.channel_map.groups:
        scores = np.zeros(group.width)
        live = LIVE[group.name] if group.width == 16 else range(CLASSES)
        scores[list(live)] = 1 + np.arange(CLASSES) / CLASSES
        found[group.name] = scores
    return found


def ladder_of(bench: Bench, config: PruneConfig, scores: Any = None) -> Ladder:  # noqa: ANN401
    queues = queues_of(bench.channel_map, scores or scores_of(bench), config)
    (ladder,) = ladders(bench.channel_map, queues, bench.subject.costs, config, [PLAIN])
    return ladder


def budget_of(bench: Bench, config: PruneConfig) -> Budget:
    now = bench.subject.costs.now()
    overhead = saved_bytes(bench.subject.model) - now.weight_bytes
    return Budget.of(config, now, bench.subject.bytes, overhead)


def met(bench: Bench = BENCH, scores: Any = None, **options: Any) -> Found:  # noqa: ANN401
    config = PruneConfig(**options)
    return within_budgets(
        bench, [ladder_of(bench, config, scores)], config, budget_of(bench, config)
    )


def kept(found: Found, bench: Bench = BENCH) -> dict[str, tuple[int, ...]]:
    return {
        g.name: tuple(np.flatnonzero(~np.isin(g.units, found.choice.removed)).tolist())
        for g in bench.channel_map.groups
    }


def refused(**options: Any) -> str:  # noqa: ANN401 - options are of many types
    with pytest.raises(BudgetError) as caught:
        met(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDrop:
    """`max_drop` alone: the thinnest plan that loses no more than that."""

    @pytest.mark.parametrize("drop", [0, 0.01, 0.12])
    def test_the_dead_go_and_nobody_else(self, drop: float) -> None:
        assert kept(met(max_drop=drop)) == LIVE

    @pytest.mark.parametrize("classes", [1, 2, 5])
    def test_a_class_goes_where_it_may(self, classes: int) -> None:
        """Its unit in the first layer, and the one in the second that hears nothing any more."""
        found = kept(met(max_drop=classes / CLASSES))
        assert found == {name: live[classes:] for name, live in LIVE.items()}

    def test_all_that_floors_allow_goes_where_everything_may_be_lost(self) -> None:
        found = kept(met(max_drop=1.0, min_channels=3))
        assert found == {name: live[-3:] for name, live in LIVE.items()}

    def test_nothing_dead_is_nothing_to_remove(self) -> None:
        bench = bench_of(network(), samples())
        assert refused(bench=bench, max_drop=0.1) == (
            "no plan keeps within --max-drop 0.1: the least that was seen is a drop of 0.125; "
            "raise it, give --align none for smaller steps, or another --criterion"
        )

    @pytest.mark.parametrize(("drop", "classes"), [(0.0, 0), (0.240, 0), (0.241, 1)])
    def test_the_error_of_outputs_is_a_drop_too(self, drop: float, classes: int) -> None:
        """Two outputs make no classifier. The first class is 1 of a sum of squares of 17.27."""
        model = network("one", "two")
        model.graph.node.append(onnx.helper.make_node("Neg", ["y"], ["z"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, ["N", 9]))
        bench = bench_of(model, samples()[0])
        found = kept(met(bench, max_drop=drop), bench)
        assert found == {name: live[classes:] for name, live in LIVE.items()}

    def test_a_metric_of_ones_own_may_fall_so_far(self) -> None:
        """It counts the units of the second layer; of 16, 5 may go, in the order of the scores."""

        def width(proto: Any) -> float:  # noqa: ANN401 - an onnx.ModelProto
            return float(next(t.dims[0] for t in proto.graph.initializer if t.name == "w3"))

        bench = bench_of(network("one", "two"), samples(), width)
        found = kept(met(bench, max_drop=5), bench)
        assert len(found["two"]) == 11
        assert found["one"] == LIVE["one"]


class TestDropBesides:
    """`max_drop` beside a budget: the plan that this takes must lose no more."""

    def test_both_hold(self) -> None:
        """Half of the multiply-accumulates can go with dead units alone."""
        found = met(macs=0.5, max_drop=0.0)
        assert BENCH.quality(found.choice.removed).metric.drop == 0.0
        assert kept(found) == kept(met(macs=0.5))

    def test_or_it_says_what_is_lost(self) -> None:
        # 8 and 8 units take 8 x 8 + 8 x 8 + 8 x 9 = 200 of 528
        assert refused(macs=199, max_drop=0.1).startswith(
            "the budgets cannot be met together: at 0.3"
        )
        message = refused(macs=0.2, max_drop=0.1)
        share = float(re.search(r"at ([\d.]+) of the MACs", message)[1])  # type: ignore[index]
        assert share <= 0.2
        loss = BENCH.quality(met(macs=0.2).choice.removed).metric.drop
        assert f"accuracy loses {loss:.3g}, --max-drop allows 0.1; raise one of them" in message

    def test_up_to_and_with_the_figure(self) -> None:
        loss = BENCH.quality(met(macs=0.2).choice.removed).metric.drop
        assert kept(met(macs=0.2, max_drop=loss)) == kept(met(macs=0.2))


class TestSize:
    """`size`: the file, to the byte."""

    @given(st.integers(0, 1500), st.sampled_from(["global", "layer"]))
    def test_the_file_is_as_small_as_asked(self, less: int, scope: Any) -> None:  # noqa: ANN401
        asked = BENCH.subject.bytes - less
        config = PruneConfig(size=asked, scope=scope)
        ladder = ladder_of(BENCH, config)
        least = BENCH.size(ladder.removed(ladder.widths(ladder.last)))
        if asked < least:
            message = refused(size=asked, scope=scope)
            assert f"size {asked:,} asked, {least:,} (" in message
            return
        found = met(size=asked, scope=scope)
        assert BENCH.size(found.choice.removed) <= asked

    def test_it_is_written_so(self, tmp_path: Path) -> None:
        found = met(size="2kB")
        path = save(BENCH.thinner(found.choice.removed), tmp_path / "thin.onnx")
        assert 1_900 <= path.stat().st_size <= 2_000

    # Two equal parts: once one is thinner, their sizes become an operand with a name of its own.
    SPLIT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 2] y) {
      [make] a = Gemm(x, w1)
      [act] r = Relu(a)
      [part] left, a_right_half_with_a_name_that_is_long_enough_to_count = Split <axis=1> (r)
      [l] p = Gemm(left, w2)
      [r] q = Gemm(a_right_half_with_a_name_that_is_long_enough_to_count, w3)
      [last] y = Add(p, q)
    }"""

    @pytest.mark.parametrize("spare", range(-12, 60, 3))
    def test_what_a_cut_adds_counts_too(self, spare: int) -> None:
        rng = np.random.default_rng(0)
        shapes = {"w1": (4, 12), "w2": (6, 2), "w3": (6, 2)}
        weights = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        bench = bench_of(proto_of(self.SPLIT, weights))
        scores = {g.name: rng.random(g.width) for g in bench.channel_map.groups}
        config = PruneConfig(max_layer_ratio=0.5)
        ladder = ladder_of(bench, config, scores)
        thinnest = ladder.removed(ladder.widths(ladder.last))
        least = bench.size(thinnest)
        assert (
            least
            > bench.subject.costs.after(bench.channel_map.without(thinnest)).weight_bytes
            + saved_bytes(bench.subject.model)
            - bench.subject.costs.now().weight_bytes
        )
        options: dict[str, Any] = {"size": least + spare, "max_layer_ratio": 0.5}
        if spare < 0:
            message = refused(bench=bench, scores=scores, **options)
            assert f"size {least + spare:,} asked, {least:,} (" in message
            return
        found = met(bench, scores, **options)
        assert bench.size(found.choice.removed) <= least + spare


# A convolution of 64 channels in and out: a tenth of it takes a small part of the time.
HEAVY = bench_of(
    proto_of(
        """<ir_version: 8, opset_import: ["": 17]> g (float[1, 64, 16, 16] x) => (float[1, 4, 16, 16] y) {
          [one] a = Conv <pads=[1, 1, 1, 1]> (x, w1)
          [act] r = Relu(a)
          [last] y = Conv(r, w2)
        }""",  # noqa: E501
        {
            "w1": np.full((64, 64, 3, 3), 0.01, np.float32),
            "w2": np.full((4, 64, 1, 1), 0.01, np.float32),
        },
    )
)
UNITS = {"one": np.arange(64.0)}


class TestLatency:
    """`latency`: what the clock says, next to the original."""

    @pytest.fixture(autouse=True)
    def brief(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shorter looks, of which all that is asserted holds just as well."""
        monkeypatch.setattr("onnxtrim.search.budgets._GLANCE", 0.1)
        monkeypatch.setattr("onnxtrim.search.budgets._LOOK", 0.3)

    def test_a_time_that_anything_keeps_removes_nothing(self) -> None:
        found = met(HEAVY, UNITS, latency="100s")
        assert found.choice.removed.size == 0
        assert found.latency is not None
        assert found.latency.after.median < 100_000

    @pytest.mark.parametrize("budget", [1.0, 0.8])
    def test_a_share_of_the_time_is_what_pairs_took(self, budget: float) -> None:
        found = met(HEAVY, UNITS, latency=budget)
        assert found.latency is not None
        assert found.latency.ratio.median <= budget

    def test_the_impossible_is_refused_with_what_was_reached(self) -> None:
        message = refused(bench=HEAVY, scores=UNITS, latency="0.1us")
        assert re.fullmatch(
            r"the budget cannot be met: --latency 0\.1us asked, [\d.e-]+ ms \(0\.\d\d of the "
            r"original\) reachable; raise --max-layer-ratio, or see inspect for what is frozen",
            message,
        )

    def test_other_budgets_hold_besides(self) -> None:
        macs = HEAVY.subject.costs.now().macs
        found = met(HEAVY, UNITS, latency="100s", macs=0.5)
        assert found.latency is not None
        after = HEAVY.subject.costs.after(HEAVY.channel_map.without(found.choice.removed))
        assert macs * 31 / 64 < after.macs <= macs / 2
        size = HEAVY.subject.bytes // 2
        found = met(HEAVY, UNITS, latency="100s", size=size)
        assert size - 600 * 4 < HEAVY.size(found.choice.removed) <= size

    def test_a_file_that_is_larger_than_its_weights_tell_is_not_taken(self) -> None:
        """Sizes of more digits take more bytes; only the file itself says how many."""
        config = PruneConfig(scope="layer")
        ladder = ladder_of(BENCH, config)
        rungs = [ladder.widths(level) for level in range(ladder.last + 1)]
        sizes = {w: (BENCH.size(ladder.removed(w)), ladder.cost(w).weight_bytes) for w in rungs}
        file, weights = sizes[rungs[-1]]
        foretold = [w for size, w in sizes.values() if size > w + file - weights]
        assert foretold
        for asked in {w + file - weights for w in foretold[:3]}:
            found = met(scope="layer", latency="100s", size=asked)
            assert asked - 300 < BENCH.size(found.choice.removed) <= asked

    def test_a_counted_budget_out_of_reach_is_the_thing_to_say(self) -> None:
        message = refused(bench=HEAVY, scores=UNITS, latency="100s", macs=0.01)
        assert message.startswith("the budget cannot be met: macs ")
        assert "--latency" not in message


class Slow(Bench):
    """A bench whose glances are too good: the plan that is taken is looked at again, longer."""

    __slots__ = ()

    def latency(self, removed: Any, seconds: float) -> LatencyPair:  # noqa: ANN401 - ids of units
        share = 1 - len(removed) / 64
        ratio = share if seconds < 1 else share + 0.1
        same = Latency(10.0, 10.0, 10.0, 11)
        return LatencyPair(same, Latency(10 * ratio, 0, 0, 11), Latency(ratio, ratio, ratio, 11))


def slow() -> Slow:
    return Slow(HEAVY.subject, HEAVY.channel_map, HEAVY.judge, HEAVY.reading)


@pytest.mark.parametrize("amount", ["5ms", "5000us", "0.005s", 0.5])
def test_a_figure_is_held_against_the_original_times_the_ratio(amount: float | str) -> None:
    """Of 10 ms half may remain, whatever the thinner model took by itself."""
    found = met(slow(), UNITS, latency=amount)
    assert found.choice.removed.size == 39
    assert found.latency is not None
    assert found.latency.before.median == 10.0


def test_where_a_longer_look_says_otherwise_a_thinner_plan_is_taken() -> None:
    """Half of the time is 32 of 64 units at a glance; with what looks add it takes 6.4 fewer."""
    bench = slow()
    found = met(bench, UNITS, latency=0.5)
    assert found.choice.removed.size == 39
    assert found.latency is not None
    assert found.latency.ratio.median == pytest.approx(25 / 64 + 0.1)
    assert refused(bench=bench, scores=UNITS, latency="0.1ms").startswith(
        "the budget cannot be met: --latency 0.1ms asked, 2.09 ms (0.21 of the original) reachable"
    )
