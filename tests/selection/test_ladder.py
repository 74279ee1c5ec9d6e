"""Ever thinner plans: by hand, and what holds for every rung of every ladder."""

import math
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    CONCAT,
    COUPLED,
    PADDED,
    PAIR,
    Problem,
    Scores,
    kept_units,
    ladder_of,
    plain,
    problem_of,
    scores_of,
)
from strategies import Example, networks

from onnxtrim.config import PruneConfig
from onnxtrim.selection import Alignment, Ladder
from onnxtrim.selection.align import aligned_width, group_alignment
from onnxtrim.selection.layers import layers_of

WHOLE = PruneConfig(normalize="none", max_layer_ratio=1.0)
BY_HAND: Scores = {
    "a": np.array([5.0, 1.0, 4.0, 2.0]),
    "b": np.array([3.0, 9.0, 8.0, 7.0, 6.0, 0.5]),
}


def test_the_rungs_of_two_layers() -> None:
    """In order: b5 0.5, a1 1, a3 2, b0 3, a2 4, a0 5, b4 6, b3 7, b2 8, b1 9."""
    ladder = ladder_of(PAIR, BY_HAND, WHOLE, plain(1))
    assert (ladder.last, ladder.whole) == (10, (4, 6))
    found = [ladder.widths(level) for level in range(11)]
    assert found == [
        (4, 6), (4, 5), (3, 5), (2, 5), (2, 4), (1, 4), (1, 4), (1, 3), (1, 2), (1, 1), (1, 1),
    ]  # fmt: skip
    assert kept_units(PAIR, ladder.removed((2, 4))) == {"a": [0, 2], "b": [1, 2, 3, 4]}
    assert kept_units(PAIR, ladder.removed((4, 6))) == {"a": [0, 1, 2, 3], "b": [*range(6)]}


def test_a_rung_costs_what_its_widths_do() -> None:
    ladder = ladder_of(PAIR, BY_HAND, WHOLE, plain(1))
    for a in range(1, 5):
        for b in range(1, 7):
            cost = ladder.cost((a, b))
            assert cost.macs == cost.params == 10 * a + a * b + b
            assert cost.weight_bytes == 4 * cost.params


def test_the_next_key_is_that_of_the_best_unit_gone() -> None:
    ladder = ladder_of(PAIR, BY_HAND, WHOLE, plain(1))
    assert [ladder.next_key(0, width) for width in range(5)] == [5.0, 4.0, 2.0, 1.0, -math.inf]
    assert ladder.next_key(1, 0) == 9.0


def test_one_wider_is_one_step_wider() -> None:
    """`left` (4) and `right` (6) are computed in blocks; 6 is no block of 4."""
    ladder = ladder_of(CONCAT, scores_of(CONCAT), WHOLE, plain(4))
    assert [ladder.widened(0, width) for width in (0, 1, 4)] == [4, 4, 4]
    assert [ladder.widened(1, width) for width in (0, 3, 4, 6)] == [4, 4, 6, 6]


class TestPadded:
    """A group that lives on no axis alone: `wide`, beside the shortcut of `stem`."""

    SCORES: ClassVar[Scores] = {"stem": np.arange(1.0, 9.0), "wide": np.arange(8.0) / 8}

    def ladder(self, **options: float) -> Ladder:
        config = PruneConfig(**{"normalize": "none", **options})  # type: ignore[arg-type]
        return ladder_of(PADDED, self.SCORES, config, plain(1))

    def test_it_may_go_altogether(self) -> None:
        ladder = self.ladder(max_layer_ratio=1.0)
        assert ladder.widths(8) == (8, 0)
        assert ladder.widths(15) == ladder.widths(16) == (1, 0)

    def test_the_floor_of_the_layer_is_that_of_both_together(self) -> None:
        """Of 16 channels 2 stay, of the 8 of `stem` one; the second is the best that went."""
        ladder = self.ladder(max_layer_ratio=0.9)
        assert ladder.widths(14) == (2, 0)
        assert ladder.widths(16) == (2, 0)
        assert self.ladder(max_layer_ratio=0.5).widths(16) == (8, 0)
        assert self.ladder(min_channels=5).widths(16) == (5, 0)

    def test_what_comes_back_for_a_floor_is_what_matters_most(self) -> None:
        """One of `stem` must stay, two in all: the best of `wide` beats the rest of `stem`."""
        scores = {"stem": np.arange(8.0) / 8, "wide": np.arange(1.0, 9.0)}
        config = PruneConfig(normalize="none", max_layer_ratio=0.9)
        assert ladder_of(PADDED, scores, config, plain(1)).widths(16) == (1, 1)

    def test_in_steps_whole_ones_come_back(self) -> None:
        config = PruneConfig(normalize="none", min_channels=5)
        assert ladder_of(PADDED, self.SCORES, config, plain(4)).widths(16) == (8, 0)
        swapped = {"stem": self.SCORES["wide"], "wide": self.SCORES["stem"]}
        config = PruneConfig(normalize="none", min_channels=1, max_layer_ratio=0.75)
        # 2 of `stem` and 4 of both must stay; a step of 4 is enough for either
        assert ladder_of(PADDED, swapped, config, plain(4)).widths(16) == (4, 0)


@st.composite
def any_ladder(draw: st.DrawFn) -> tuple[Problem, PruneConfig, Ladder]:
    """Draws a ladder over a network with coupled axes, or a random one."""
    found = COUPLED[draw(st.sampled_from(sorted(COUPLED)))]
    if draw(st.booleans()):
        example: Example = draw(networks())
        found = problem_of(example.model, {}, **example.inputs)
    config = PruneConfig(
        scope=draw(st.sampled_from(["global", "layer"])),
        min_channels=draw(st.integers(1, 5)),
        max_layer_ratio=draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])),
    )
    scores = scores_of(found, draw(st.integers(0, 999)), draw(st.integers(0, 3)))
    steps = [plain(1), plain(2), plain(3), plain(4), plain(8), Alignment(8, 4), Alignment(4, 2)]
    return found, config, ladder_of(found, scores, config, draw(st.sampled_from(steps)))


@given(any_ladder(), st.data())
def test_every_rung_keeps_every_floor_and_fills_its_steps(
    drawn: tuple[Problem, PruneConfig, Ladder], data: st.DataObject
) -> None:
    problem, config, ladder = drawn
    groups = problem.channel_map.groups
    level = data.draw(st.sampled_from([0, ladder.last, data.draw(st.integers(0, ladder.last))]))
    widths = ladder.widths(level)
    assert len(widths) == len(groups)
    for group, width in zip(groups, widths, strict=True):
        own = group_alignment(group, ladder.alignment)
        assert aligned_width(width, group.width, own) == width
    for layer in layers_of(problem.channel_map, config):
        assert layer.width(widths) >= layer.floor
    left = problem.channel_map.without(ladder.removed(widths))
    for key, units in problem.channel_map.axes.items():
        assert left.stays[units].any(), f"nothing is left of axis {key}"


@given(any_ladder(), st.data())
def test_what_is_feasible_is_no_thinner_than_what_is_wanted_and_settles(
    drawn: tuple[Problem, PruneConfig, Ladder], data: st.DataObject
) -> None:
    _, _, ladder = drawn
    wanted = [data.draw(st.integers(0, width)) for width in ladder.whole]
    found = ladder.feasible(wanted)
    assert all(a <= b <= c for a, b, c in zip(wanted, found, ladder.whole, strict=True))
    assert ladder.feasible(found) == found
    assert ladder.feasible(ladder.whole) == ladder.widths(0) == ladder.whole


@given(any_ladder())
def test_without_shared_axes_each_rung_is_no_wider_than_the_one_before(
    drawn: tuple[Problem, PruneConfig, Ladder],
) -> None:
    problem, config, ladder = drawn
    if any(len(x.positions) > 1 for x in layers_of(problem.channel_map, config)):
        return
    rungs = [ladder.widths(level) for level in range(ladder.last + 1)]
    for wide, thin in pairwise(rungs):
        assert all(b <= a for a, b in zip(wide, thin, strict=True))


@pytest.mark.parametrize("name", COUPLED)
@given(seed=st.integers(0, 999), cap=st.sampled_from([0.5, 0.9, 1.0]))
def test_in_single_steps_a_rung_of_two_that_share_an_axis_is_no_wider_either(
    name: str, seed: int, cap: float
) -> None:
    config = PruneConfig(max_layer_ratio=cap)
    ladder = ladder_of(COUPLED[name], scores_of(COUPLED[name], seed), config, plain(1))
    rungs = [ladder.widths(level) for level in range(ladder.last + 1)]
    for wide, thin in pairwise(rungs):
        assert all(b <= a for a, b in zip(wide, thin, strict=True))
