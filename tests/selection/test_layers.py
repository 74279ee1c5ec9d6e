"""What must stay of every axis: floors and caps of layers, by hand and against the map itself."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import CONCAT, GROUPED, PADDED, Problem, problem_of
from strategies import Example, networks

from onnxtrim.config import PruneConfig
from onnxtrim.selection.layers import Layer, layers_of

Rows = set[tuple[tuple[tuple[int, int], ...], int, int]]


def rows(problem: Problem, **options: Any) -> Rows:  # noqa: ANN401 - options are of many types
    """Returns (positions by group, fixed, floor) of every layer."""
    layers = layers_of(problem.channel_map, PruneConfig(**options))
    found = {(tuple(sorted(x.positions.items())), x.fixed, x.floor) for x in layers}
    assert len(found) == len(layers)
    return found


def test_what_meets_a_padded_shortcut_may_go_but_its_layer_may_not() -> None:
    """`stem` alone is on w0; w1 makes 16 channels, 8 of them together with `stem`."""
    alone, both = ((0, 1),), ((0, 1), (1, 1))
    assert rows(PADDED, max_layer_ratio=1.0) == {(alone, 0, 1), (both, 0, 1)}
    assert rows(PADDED, max_layer_ratio=1.0, min_channels=3) == {(alone, 0, 3), (both, 0, 3)}
    assert rows(PADDED, max_layer_ratio=0.5) == {(alone, 0, 4), (both, 0, 8)}
    # 0.9 of 8 is 7, of 16 it is 14
    assert rows(PADDED, max_layer_ratio=0.9) == {(alone, 0, 1), (both, 0, 2)}


def test_what_a_concat_joins_has_no_writer_of_its_own() -> None:
    """So one position of it is enough, while each of the two parts keeps its floor."""
    assert rows(CONCAT, max_layer_ratio=0.5) == {
        (((0, 1),), 0, 2),
        (((1, 1),), 0, 3),
        (((0, 1), (1, 1)), 0, 1),
        (((2, 1),), 0, 4),
    }


def test_a_unit_of_a_grouped_convolution_counts_once_for_each_block() -> None:
    """Two channels of `grouped` are two positions in each of its blocks: four in all."""
    assert rows(GROUPED, max_layer_ratio=1.0, min_channels=2) == {
        (((0, 2),), 0, 4),
        (((0, 1),), 0, 1),  # the channels that one kernel reads: no layer, nothing makes them
        (((1, 2),), 0, 4),
    }


def test_a_floor_is_never_more_than_there_is() -> None:
    floors = {floor for _, _, floor in rows(PADDED, max_layer_ratio=0.0)}
    assert floors == {8, 16}
    assert {floor for _, _, floor in rows(PADDED, min_channels=99)} == {8, 16}


def test_what_is_excluded_stays_whatever_happens() -> None:
    """Without `wide`, 8 of the 16 channels behind it are fixed; the floor counts them."""
    held = PADDED.channel_map.restricted((), ("stem",))
    assert layers_of(held, PruneConfig(max_layer_ratio=0.5)) == [Layer({0: 1}, 8, 8)]
    assert layers_of(held, PruneConfig(min_channels=20)) == [Layer({0: 1}, 8, 16)]


@pytest.mark.parametrize(("kept", "width"), [((0, 0), 5), ((2, 0), 9), ((0, 3), 8), ((2, 3), 12)])
def test_a_layer_is_as_wide_as_all_that_stays(kept: tuple[int, int], width: int) -> None:
    assert Layer({0: 2, 1: 1}, fixed=5, floor=1).width(kept) == width


def test_a_share_is_not_lost_to_rounding() -> None:
    """29 % of 100 are 29, though 0.29 x 100 is a little less in floating point."""
    assert math.floor(0.29 * 100) == 28
    problem = problem_of(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 1] y) {
          [one] a = Gemm(x, w1)
          [act] r = Relu(a)
          [last] y = Gemm(r, w2)
        }""",
        {"w1": np.ones((3, 100), np.float32), "w2": np.ones((100, 1), np.float32)},
        x=(1, 3),
    )
    assert rows(problem, max_layer_ratio=0.29) == {(((0, 1),), 0, 71)}


@given(networks(), st.integers(1, 5), st.floats(0, 1), st.data())
def test_every_axis_of_every_network_is_in_a_layer(
    example: Example, least: int, most: float, data: st.DataObject
) -> None:
    problem = problem_of(example.model, {}, **example.inputs)
    channel_map, groups = problem.channel_map, problem.channel_map.groups
    layers = layers_of(channel_map, PruneConfig(min_channels=least, max_layer_ratio=most))
    kept = [data.draw(st.integers(0, g.width)) for g in groups]
    gone = [g.units[n:] for g, n in zip(groups, kept, strict=True)]
    left = channel_map.without(np.concatenate([channel_map.no_units, *gone]))
    written = {
        (use.tensor, use.axis)
        for group in (*groups, *channel_map.frozen_groups)
        for use in group.writers
    }
    for key, units in channel_map.axes.items():
        counts = {
            i: int(np.isin(units, group.units).sum()) // group.width
            for i, group in enumerate(groups)
            if np.isin(units, group.units).any()
        }
        if not counts:
            continue
        (layer,) = [
            x for x in layers if dict(x.positions) == counts and x.fixed == fixed(units, groups)
        ]
        assert layer.width(kept) == np.count_nonzero(left.stays[units])
        assert 1 <= layer.floor <= len(units)
        if key in written:
            assert layer.floor >= min(least, len(units))
            assert len(units) - layer.floor <= most * len(units) + 1e-6


def fixed(units: Any, groups: Any) -> int:  # noqa: ANN401 - arrays and groups
    """Returns how many positions belong to no group."""
    return len(units) - sum(int(np.isin(units, group.units).sum()) for group in groups)
