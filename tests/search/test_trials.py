"""Plans tried out: what is cut, how large it is, how it does."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import CLASSES, LIVE, READING, bench_of, network, samples
from oracle import assert_equal_to_masked

from onnxtrim.channels.relations import Ids
from onnxtrim.errors import UsageError
from onnxtrim.graph import save
from onnxtrim.search import Bench, judge_of


def removed_of(bench: Bench, **places: tuple[int, ...]) -> Ids:
    """Returns the units at these places of the groups, sorted."""
    groups = {group.name: group for group in bench.channel_map.groups}
    return np.sort(np.concatenate([groups[name].units[list(p)] for name, p in places.items()]))


BENCH = bench_of(network("one", "two"), samples())
DEAD = {name: tuple(i for i in range(16) if i not in live) for name, live in LIVE.items()}


@given(st.sets(st.integers(0, 14)), st.sets(st.integers(1, 15)))
def test_what_is_tried_is_the_masked_original(one: set[int], two: set[int]) -> None:
    removed = removed_of(BENCH, one=tuple(one), two=tuple(two))
    thinner = BENCH.thinner(removed)
    model = BENCH.subject.model
    assert_equal_to_masked(model, BENCH.channel_map, removed, thinner, {"x": samples(1)[0]})


def test_the_original_stays_as_it_is() -> None:
    before = ir.to_proto(BENCH.subject.model).SerializeToString(deterministic=True)
    BENCH.thinner(removed_of(BENCH, one=(0, 1, 2)))
    assert ir.to_proto(BENCH.subject.model).SerializeToString(deterministic=True) == before


def test_dead_units_are_not_missed() -> None:
    found = BENCH.quality(removed_of(BENCH, **DEAD))
    assert found.metric.name == "accuracy"
    assert (found.metric.before, found.metric.after) == (1.0, 1.0)
    assert (found.agreement, found.relative_error) == (1.0, 0.0)


@pytest.mark.parametrize("count", range(1, CLASSES))
def test_every_living_unit_is(count: int) -> None:
    """Each tells one class of eight, whose samples are answered wrongly without it."""
    for layer, live in LIVE.items():
        found = BENCH.quality(removed_of(BENCH, **{layer: live[:count]}))
        assert found.metric.drop == count / CLASSES
        assert found.agreement == 1 - count / CLASSES


@pytest.mark.parametrize("count", [0, 1, 8])
def test_the_size_is_that_of_the_file(tmp_path: Path, count: int) -> None:
    removed = removed_of(BENCH, one=DEAD["one"][:count], two=DEAD["two"][:count])
    path = save(BENCH.thinner(removed), tmp_path / "thin.onnx")
    assert BENCH.size(removed) == path.stat().st_size


def test_times_are_those_of_pairs() -> None:
    found = BENCH.latency(removed_of(BENCH, **DEAD), seconds=0.01)
    assert found.before.runs == found.after.runs == found.ratio.runs >= 11
    for side in (found.before, found.after, found.ratio):
        assert 0 < side.p10 <= side.median <= side.p90


def test_without_data_there_is_no_quality() -> None:
    bench = bench_of(network("one"))
    assert bench.judge is None
    with pytest.raises(ValueError, match="takes data"):
        bench.quality(bench.channel_map.no_units)


def test_without_data_a_metric_of_ones_own_is_refused() -> None:
    """It would be ignored, and the report would not say so."""

    def own(proto: onnx.ModelProto) -> float:
        return 1.0

    with pytest.raises(UsageError, match=r"^--metric .*; give --data$"):
        judge_of(BENCH.subject, None, own, READING)


def test_a_judge_goes_by_a_metric_of_ones_own() -> None:
    def parameters(proto: onnx.ModelProto) -> float:
        return float(sum(np.prod(t.dims) for t in proto.graph.initializer))

    bench = bench_of(network("one", "two"), samples(), parameters)
    found = bench.quality(removed_of(bench, one=DEAD["one"]))
    # 8 columns of 8, and 8 rows of 16
    assert (found.metric.name, found.metric.drop) == ("parameters", 8 * 8 + 8 * 16)
    assert found.relative_error == 0.0
