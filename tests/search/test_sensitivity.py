"""Curves over the share removed, and a budget shared out by them."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import CLASSES, LIVE, bench_of, network, samples
from oracle import proto_of

from onnxtrim.config import PruneConfig
from onnxtrim.report import Curve, CurvePoint
from onnxtrim.search import Bench, curves_of
from onnxtrim.search.sensitivity import allocated
from onnxtrim.selection import Alignment, Budget, Queue, fitting, ladders, queues_of

BENCH = bench_of(network("two"), samples())
"""Eight living units in the first layer, eight living and eight dead in the second."""

STRENGTH = 1 + np.arange(CLASSES) / CLASSES
TRUE = {"one": STRENGTH, "two": np.zeros(16)}
TRUE["two"][list(LIVE["two"])] = STRENGTH


def queues(config: PruneConfig, bench: Bench = BENCH, scores: Any = None) -> dict[str, Queue]:  # noqa: ANN401
    return queues_of(bench.channel_map, TRUE if scores is None else scores, config)


def curves(points: int, **options: Any) -> dict[str, Curve]:  # noqa: ANN401
    config = PruneConfig(**options)
    return {c.group: c for c in curves_of(BENCH, queues(config), config, points)}


def test_dead_units_are_not_missed_and_living_ones_are() -> None:
    found = curves(16, max_layer_ratio=1.0)
    assert [(p.removed, p.metric) for p in found["one"].points] == [
        (n, 1 - n / CLASSES) for n in range(1, 8)
    ]
    two = found["two"]
    assert (two.group, two.width) == ("two", 16)
    assert [p.removed for p in two.points] == list(range(1, 16))
    assert [p.metric for p in two.points] == [1 - max(n - 8, 0) / CLASSES for n in range(1, 16)]
    assert [p.relative_error for p in two.points[:8]] == [0.0] * 8
    # what is lost is the strength of the classes that are gone; 0.1 is what stands for none
    total = (STRENGTH**2 + 0.01).sum()
    for point in two.points[8:]:
        lost = (STRENGTH[: point.removed - 8] ** 2).sum()
        assert point.relative_error == pytest.approx((lost / total) ** 0.5, rel=1e-6)


def test_the_macs_are_those_of_the_model_without_them() -> None:
    # 8 x 8 + 8 x 16 + 16 x 9 in all
    whole = 64 + 128 + 144
    for point in curves(16)["two"].points:
        left = 16 - point.removed
        assert point.macs == pytest.approx((64 + 8 * left + 9 * left) / whole, rel=1e-12)


@pytest.mark.parametrize(
    ("points", "cap", "one", "two"),
    [
        (1, 0.5, [4], [8]),
        (2, 0.5, [2, 4], [4, 8]),
        (4, 0.5, [1, 2, 3, 4], [2, 4, 6, 8]),
        (5, 0.9, [1, 3, 4, 6, 7], [3, 6, 8, 11, 14]),
        (3, 0.25, [1, 2], [1, 3, 4]),
        (99, 1.0, [*range(1, 8)], [*range(1, 16)]),  # one stays
        (5, 0.1, [], [1]),
        (5, 0.0, [], []),
    ],
)
def test_shares_are_even_up_to_the_cap(
    points: int, cap: float, one: list[int], two: list[int]
) -> None:
    found = curves(points, max_layer_ratio=cap)
    assert [p.removed for p in found["one"].points] == one
    assert [p.removed for p in found["two"].points] == two


def test_progress_is_told_group_by_group() -> None:
    heard: list[tuple[str, int, int]] = []
    config = PruneConfig()
    curves_of(BENCH, queues(config), config, 1, lambda *what: heard.append(what))
    assert heard == [("trying groups", 1, 2), ("trying groups", 2, 2)]


class TestAllocated:
    """`allocated`: keys by which the units of all groups go, from the curves."""

    def keys(self, *errors: float, at: tuple[int, ...], **options: Any) -> list[float]:  # noqa: ANN401
        """Returns the keys of the second layer, times what a unit of it saves."""
        config = PruneConfig(**options)
        points = tuple(CurvePoint(n, 0, 0, e) for n, e in zip(at, errors, strict=True))
        curve = Curve("two", 16, points)
        found = allocated(BENCH, queues(config), [curve], config)
        assert found["two"].units.tolist() == queues(config)["two"].units.tolist()
        return [float(key) * 17 for key in found["two"].keys]

    def test_slopes_of_squared_errors(self) -> None:
        """From 0 at none to 0.04 at 4 and 0.36 at 8: 0.01 and 0.08 a unit; the rest last."""
        found = self.keys(0.2, 0.6, at=(4, 8))
        assert found == pytest.approx([0.01] * 4 + [0.08] * 4 + [np.inf] * 8, rel=1e-9)

    def test_a_bulge_is_bent_straight(self) -> None:
        """0.25 at 4 lies above the line from 0 to 0.36 at 8, so that all eight go alike."""
        found = self.keys(0.5, 0.6, at=(4, 8))
        assert found == pytest.approx([0.045] * 8 + [np.inf] * 8, rel=1e-9)

    def test_an_error_that_falls_again_costs_nothing_on_the_way(self) -> None:
        found = self.keys(0.5, 0.0, at=(4, 8))
        assert found == pytest.approx([0.0] * 8 + [np.inf] * 8)

    def test_what_was_not_tried_goes_last(self) -> None:
        assert self.keys(at=()) == [np.inf] * 16

    @pytest.mark.parametrize(
        ("options", "saved"),
        [
            ({}, 80),  # 16 pixels x (3 weights that make it + 2 that read it)
            ({"macs": 0.5}, 80),
            ({"macs": 0.5, "params": 0.5}, 80),
            ({"max_drop": 0.1}, 80),
            ({"params": 0.5}, 5),
            ({"size": 0.5}, 5),
        ],
    )
    def test_what_a_unit_saves_is_what_it_is_divided_by(
        self, options: dict[str, Any], saved: int
    ) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[1, 3, 4, 4] x) => (float[1, 2, 4, 4] y) {
          [one] a = Conv(x, w1)
          [act] r = Relu(a)
          [last] y = Conv(r, w2)
        }"""  # noqa: E501
        shapes = {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)}
        weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        bench, config = bench_of(proto_of(text, weights)), PruneConfig(**options)
        curve = Curve("one", 4, (CurvePoint(2, 0, 0, 0.4),))
        found = allocated(bench, queues(config, bench, {"one": np.arange(4.0)}), [curve], config)
        assert found["one"].keys[:2].tolist() == pytest.approx([0.08 / saved] * 2, rel=1e-9)

    @given(
        st.lists(
            st.tuples(st.integers(1, 16), st.floats(0, 1)), max_size=6, unique_by=lambda p: p[0]
        )
    )
    def test_the_curve_that_the_keys_describe_is_convex_and_below(
        self, drawn: list[tuple[int, float]]
    ) -> None:
        """By brute force: the lowest of all lines between two points, at every count."""
        drawn = sorted(drawn)
        keys = self.keys(*(e for _, e in drawn), at=tuple(n for n, _ in drawn))
        assert all(a <= b for a, b in itertools.pairwise(keys))
        known = [(0, 0.0), *((n, e**2) for n, e in drawn)]
        for count in range(known[-1][0] + 1):
            lowest = min(
                a[1] if a[0] == b[0] else a[1] + (b[1] - a[1]) * (count - a[0]) / (b[0] - a[0])
                for a, b in itertools.combinations_with_replacement(known, 2)
                if a[0] <= count <= b[0]
            )
            assert sum(keys[:count]) == pytest.approx(lowest, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("cap", [0.5, 0.9, 1.0])
def test_the_cut_falls_on_the_group_with_dead_units(cap: float) -> None:
    """Scores that deceive: by them the first layer would go, of which every unit is needed."""
    config = PruneConfig(macs=0.6, normalize="none", max_layer_ratio=cap)
    scores = {"one": STRENGTH, "two": 1e3 * (1 + TRUE["two"])}
    order = queues(config, scores=scores)
    assert len(chosen(order, config)["one"]) < 8
    shared = allocated(BENCH, order, curves_of(BENCH, order, config, 5), config)
    found = chosen(shared, config)
    assert found["one"] == list(range(8))
    assert set(LIVE["two"]) <= set(found["two"])
    assert len(found["two"]) < 16


def chosen(order: dict[str, Queue], config: PruneConfig) -> dict[str, list[int]]:
    """Returns what stays under the budget of `config`."""
    costs, channel_map = BENCH.subject.costs, BENCH.channel_map
    (ladder,) = ladders(channel_map, order, costs, config, [Alignment(1, 1)])
    choice = fitting(ladder, Budget.of(config, costs.now(), 0, 0), config)
    assert choice is not None
    return {
        g.name: np.flatnonzero(~np.isin(g.units, choice.removed)).tolist()
        for g in channel_map.groups
    }
