"""What is removed: by hand on a small network, and as properties for any budget."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import (
    COUPLED,
    PADDED,
    PAIR,
    Problem,
    Scores,
    budget_of,
    chosen,
    cost_of,
    kept_units,
    kept_widths,
    ladder_of,
    plain,
    problem_of,
    scores_of,
    thinned,
)
from strategies import Example, networks

from onnxtrim.channels.relations import Ids
from onnxtrim.config import Normalization, PruneConfig, Scope
from onnxtrim.errors import BudgetError
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import (
    Alignment,
    Choice,
    Cost,
    CostModel,
    Ladder,
    fitting,
    quota,
    shortfall,
    trimmed,
    widest,
)
from onnxtrim.selection.layers import layers_of

PIXELS = 64
# Widths 20, 24 (with two positions a unit behind `deep`) and 40; every feature map is 8 x 8.
TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 8, 8] x) => (float[N, 5] y) {
  [one] a = Conv <pads=[1, 1, 1, 1]> (x, w1)
  [relu1] ra = Relu(a)
  [two] b = Conv <pads=[1, 1, 1, 1]> (ra, w2)
  [relu2] rb = Relu(b)
  [deep] c = Conv <group=24, pads=[1, 1, 1, 1]> (rb, wd)
  [pool] p = GlobalAveragePool(c)
  [flat] f = Flatten(p)
  [dense] d = Gemm(f, w3)
  [relu3] rd = Relu(d)
  [last] y = Gemm(rd, w4)
}"""
SHAPES = {
    "w1": (20, 3, 3, 3),
    "w2": (24, 20, 3, 3),
    "wd": (48, 1, 3, 3),
    "w3": (48, 40),
    "w4": (40, 5),
}
NAMES = ("one", "two", "dense")
WIDTHS = (20, 24, 40)
BLOCKED = (True, True, False)


NET = problem_of(TEXT, {n: np.ones(s, np.float32) for n, s in SHAPES.items()}, x=(1, 3, 8, 8))
MACS = PIXELS * (20 * 27 + 24 * 180 + 48 * 9) + 48 * 40 + 40 * 5
PARAMS = 20 * 27 + 24 * 180 + 48 * 9 + 48 * 40 + 40 * 5


def counted(removed: Ids) -> tuple[int, int]:
    """Returns MACs and parameters of the model that is really cut, from its weights' sizes."""
    thinner = ir.to_proto(thinned(NET, removed))
    sizes = {t.name: math.prod(t.dims) for t in thinner.graph.initializer}
    convs = [node.input[1] for node in thinner.graph.node if node.op_type == "Conv"]
    assert len(convs) == 3
    macs = sum(size * (PIXELS if name in convs else 1) for name, size in sizes.items())
    return macs, sum(sizes.values())


def by_widths(one: int, two: int, dense: int) -> tuple[int, int]:
    """Returns MACs and parameters for given widths."""
    convs = one * 27 + two * one * 9 + 2 * two * 9
    matrices = 2 * two * dense + dense * 5
    return PIXELS * convs + matrices, convs + matrices


def fills_blocks(kept: int, width: int, to: Alignment) -> bool:
    """Returns whether a width is one that the runtime is fast at."""
    if width < to.step:
        return kept == width or kept % math.gcd(to.step, 4) == 0
    return kept == width or kept % (to.step if kept >= to.step else to.below) == 0


def widened(kept: int, index: int, to: Alignment) -> int:
    """Returns the smallest width of a group from `kept` on that fills blocks where it must."""
    width = WIDTHS[index]
    return next(
        w for w in range(kept, width + 1) if not BLOCKED[index] or fills_blocks(w, width, to)
    )


def floor_of(index: int, config: PruneConfig) -> int:
    """Returns how many units must stay in a group, before alignment."""
    width = WIDTHS[index]
    most = math.floor(config.max_layer_ratio * width + 1e-9)
    return min(max(config.min_channels, width - most, 1), width)


def test_the_network_is_what_the_figures_say() -> None:
    assert [(g.name, g.width) for g in NET.channel_map.groups] == list(
        zip(NAMES, WIDTHS, strict=True)
    )
    assert [bool(g.block_positions) for g in NET.channel_map.groups] == list(BLOCKED)
    assert (NET.costs.now().macs, NET.costs.now().params) == (MACS, PARAMS)
    assert counted(NET.channel_map.no_units) == by_widths(*WIDTHS) == (MACS, PARAMS)


# -- properties for any budget --------------------------------------------------------------------


@st.composite
def any_scores(draw: st.DrawFn) -> Scores:
    """Draws scores, with ties, zeros, and groups of very different size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    digits = draw(st.integers(0, 6))
    return {
        name: np.round(rng.random(width), digits) * draw(st.sampled_from([1e-3, 1.0, 1e4]))
        for name, width in zip(NAMES, WIDTHS, strict=True)
    }


amounts = st.one_of(st.none(), st.floats(0.01, 1.0))
alignments = st.sampled_from(
    [
        *((plain(step),) for step in (1, 4, 6, 8, 16)),
        (plain(16), Alignment(16, 4)),
        (plain(8), Alignment(8, 4)),
        (plain(64), plain(1)),
    ]
)


@st.composite
def configs(draw: st.DrawFn, scope: Scope | None = None, *, ratio: bool = True) -> PruneConfig:
    """Draws a configuration with at least one budget that can be counted."""
    macs, params, size = draw(amounts), draw(amounts), draw(amounts)
    cap = draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.95, 1.0]))
    share = draw(st.one_of(st.none(), st.floats(0, min(cap, 0.99)))) if ratio else None
    assume((macs, params, size, share) != (None, None, None, None))
    return PruneConfig(
        ratio=share,
        macs=macs,
        params=params,
        size=size,
        scope=draw(st.sampled_from(get_args(Scope))) if scope is None else scope,
        normalize=draw(st.sampled_from(get_args(Normalization))),
        min_channels=draw(st.integers(1, 30)),
        max_layer_ratio=cap,
    )


def limits(config: PruneConfig) -> list[float]:
    """Returns the most MACs, parameters and bytes that may remain."""
    asked = (config.macs, config.params, config.size)
    wholes = (MACS, PARAMS, 4 * PARAMS)
    return [
        math.inf if amount is None else math.floor(float(amount) * whole)
        for amount, whole in zip(asked, wholes, strict=True)
    ]


def figures(macs: int, params: int) -> list[int]:
    """Returns MACs, parameters and bytes; the file holds nothing but weights."""
    return [macs, params, 4 * params]


def within(config: PruneConfig, macs: int, params: int) -> bool:
    """Returns whether all that is asked holds."""
    return all(a <= b for a, b in zip(figures(macs, params), limits(config), strict=True))


def share_of(config: PruneConfig, to: Alignment) -> int:
    """Returns how many units `--ratio` wants gone."""
    ratio = config.ratio or 0.0
    if config.scope == "global":
        return math.floor(ratio * sum(WIDTHS) + 1e-9)
    wanted = [w - math.floor(ratio * w + 1e-9) for w in WIDTHS]
    kept = [widened(max(k, floor_of(i, config)), i, to) for i, k in enumerate(wanted)]
    return sum(WIDTHS) - sum(kept)


def check_refusal(message: str, config: PruneConfig, to: Alignment) -> None:
    """Fails unless a refusal says what was asked and what the thinnest plan of all comes to."""
    widths = [widened(floor_of(i, config), i, to) for i in range(3)]
    reasons = []
    wholes, least = figures(MACS, PARAMS), figures(*by_widths(*widths))
    for name, limit, can, whole in zip(
        ("macs", "params", "size"), limits(config), least, wholes, strict=True
    ):
        if can > limit:
            share = f"{can / whole:.0%}"
            reasons.append(f"{name} {limit:,} asked, {can:,} ({share} of the original) reachable")
    wanted, gone = share_of(config, to), sum(WIDTHS) - sum(widths)
    if gone < wanted:
        reasons.append(f"{wanted} of {sum(WIDTHS)} channels to go, {gone} can")
    assert reasons, "the thinnest plan meets the budget, so there was no reason to refuse"
    assert message.startswith(f"the budget cannot be met: {'; '.join(reasons)}; raise ")
    assert "\n" not in message


@given(any_scores(), configs(), alignments)
def test_the_budget_is_met_or_the_refusal_names_what_is_reachable(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    try:
        choice = chosen(NET, scores, config, *among)
    except BudgetError as error:
        check_refusal(str(error), config, among[-1])
        return
    assert within(config, *counted(choice.removed))
    assert len(choice.removed) >= share_of(config, choice.alignment)
    for i, kept in enumerate(kept_widths(NET, choice.removed)):
        assert kept >= floor_of(i, config)
        assert kept == widened(kept, i, choice.alignment)
    for group in NET.channel_map.groups:
        gone = np.isin(group.units, choice.removed)
        if gone.any() and not gone.all():
            assert scores[group.name][gone].max() <= scores[group.name][~gone].min()


@given(any_scores(), configs(), alignments)
def test_a_later_step_is_a_last_resort(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    try:
        found = chosen(NET, scores, config, *among)
    except BudgetError:
        return
    for to in among[: among.index(found.alignment)]:
        with pytest.raises(BudgetError):
            chosen(NET, scores, config, to)
    alone = chosen(NET, scores, config, found.alignment)
    assert alone.removed.tolist() == found.removed.tolist()


@given(any_scores(), configs("global"), alignments)
def test_globally_no_step_stays_out_that_the_budget_has_room_for(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    try:
        choice = chosen(NET, scores, config, *among)
    except BudgetError:
        return
    kept = kept_widths(NET, choice.removed)
    for i, width in enumerate(WIDTHS):
        wider = list(kept)
        wider[i] = widened(min(kept[i] + 1, width), i, choice.alignment)
        room = within(config, *by_widths(*wider))
        room = room and sum(WIDTHS) - sum(wider) >= share_of(config, choice.alignment)
        assert wider == kept or not room, f"{NAMES[i]} could keep {wider[i]} instead of {kept[i]}"


@given(any_scores(), configs(), alignments)
def test_the_same_question_gets_the_same_plan(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    reverse = {name: scores[name].copy() for name in reversed(NAMES)}
    try:
        once = chosen(NET, scores, config, *among)
    except BudgetError:
        return
    again = chosen(NET, reverse, config, *among)
    assert once.removed.tolist() == again.removed.tolist()
    assert once.alignment == again.alignment


@given(any_scores(), configs("layer", ratio=False), alignments, st.floats(0.1, 1.0))
def test_by_layer_a_tighter_budget_keeps_no_more_of_any_group(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment], tighter: float
) -> None:
    less = replace(
        config,
        macs=None if config.macs is None else float(config.macs) * tighter,
        params=None if config.params is None else float(config.params) * tighter,
        size=None if config.size is None else float(config.size) * tighter,
    )
    one = among[:1]
    try:
        thin = kept_widths(NET, chosen(NET, scores, less, *one).removed)
    except BudgetError:
        return
    wide = kept_widths(NET, chosen(NET, scores, config, *one).removed)
    assert all(a <= b for a, b in zip(thin, wide, strict=True))


@given(any_scores(), st.floats(0, 0.99), st.integers(1, 30), st.sampled_from([1, 4, 6, 8, 16]))
def test_by_layer_each_group_gives_its_own_share(
    scores: Scores, ratio: float, least: int, step: int
) -> None:
    config = PruneConfig(ratio=ratio, scope="layer", max_layer_ratio=1.0, min_channels=least)
    choice = chosen(NET, scores, config, plain(step))
    for i, kept in enumerate(kept_widths(NET, choice.removed)):
        wanted = WIDTHS[i] - math.floor(ratio * WIDTHS[i] + 1e-9)
        assert kept == widened(max(wanted, floor_of(i, config)), i, plain(step))


@given(any_scores(), st.floats(0, 0.9))
def test_globally_the_ratio_is_that_of_all_units(scores: Scores, ratio: float) -> None:
    config = PruneConfig(ratio=ratio)
    removed = chosen(NET, scores, config, plain(1)).removed
    assert len(removed) == math.floor(ratio * sum(WIDTHS) + 1e-9)


# -- by hand --------------------------------------------------------------------------------------

BY_HAND: Scores = {
    "a": np.array([5.0, 1.0, 4.0, 2.0]),
    "b": np.array([3.0, 9.0, 8.0, 7.0, 6.0, 0.5]),
}


def kept(scores: Scores = BY_HAND, **options: Any) -> dict[str, list[int]]:  # noqa: ANN401
    """Returns what stays of the two layers, in single steps."""
    config = PruneConfig(**{"normalize": "none", **options})
    return kept_units(PAIR, chosen(PAIR, scores, config, plain(1)).removed)


def refused(**options: Any) -> str:  # noqa: ANN401 - options are of many types
    with pytest.raises(BudgetError) as caught:
        kept(**options)
    return str(caught.value)


def test_a_global_ratio_takes_the_lowest_of_all() -> None:
    # of ten, in order: b5 0.5, a1 1, a3 2, b0 3, a2 4, a0 5, b4 6, b3 7, b2 8, b1 9
    assert kept(ratio=0.1) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(ratio=0.5) == {"a": [0], "b": [1, 2, 3, 4]}
    assert kept(ratio=0.0) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}


def test_where_a_floor_holds_one_back_the_next_goes_instead() -> None:
    """The sixth of the order is the last of `a`, which stays."""
    assert kept(ratio=0.6) == {"a": [0], "b": [1, 2, 3]}
    assert kept(ratio=0.8) == {"a": [0], "b": [1]}


def test_a_ratio_by_layer_takes_the_lowest_of_each() -> None:
    assert kept(ratio=0.5, scope="layer") == {"a": [0, 2], "b": [1, 2, 3]}
    assert kept(ratio=0.25, scope="layer") == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(ratio=0.24, scope="layer") == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}


def test_by_layer_what_a_floor_holds_back_is_not_made_up_for() -> None:
    found = kept(ratio=0.5, scope="layer", min_channels=4)
    assert found == {"a": [0, 1, 2, 3], "b": [1, 2, 3, 4]}


def test_normalisation_changes_whose_turn_it_is() -> None:
    # means 3 and 5.58: a 1.67 .33 1.33 .67, b .54 1.61 1.43 1.25 1.07 .09 -> b5, a1, b0, a3
    assert kept(ratio=0.4, normalize="layer-mean") == {"a": [0, 2], "b": [1, 2, 3, 4]}
    # maxima 5 and 9: a 1 .2 .8 .4, b .33 1 .89 .78 .67 .06 -> b5, a1, b0, a3, b4
    assert kept(ratio=0.5, normalize="max") == {"a": [0, 2], "b": [1, 2, 3]}


def test_ties_fall_by_group_and_then_by_position() -> None:
    even = {"a": np.ones(4), "b": np.ones(6)}
    assert kept(even, ratio=0.2) == {"a": [2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert kept(even, ratio=0.3, min_channels=2) == {"a": [2, 3], "b": [1, 2, 3, 4, 5]}
    assert kept(even, ratio=0.5, scope="layer") == {"a": [2, 3], "b": [3, 4, 5]}


def test_a_budget_takes_no_more_than_it_must() -> None:
    # params = 10 a + a b + b: 70 at first
    assert kept(params=70) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    # without b5: 40 + 20 + 5 = 65
    assert kept(params=69) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(params=65) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    # without a1 as well 30 + 15 + 5 = 50; then b5 comes back: 30 + 18 + 6 = 54
    assert kept(params=64) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert kept(params=53) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}


def test_by_layer_nothing_comes_back() -> None:
    # order by share gone: b 1/6, a 1/4, b 2/6, ...; 65, 50, 46 remain
    assert kept(params=64, scope="layer") == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(params=49, scope="layer") == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}


def test_ratio_and_budget_both_hold() -> None:
    assert kept(params=64, ratio=0.1) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert kept(params=64, ratio=0.2) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(params=69, ratio=0.5) == {"a": [0], "b": [1, 2, 3, 4]}


def test_floors_and_caps() -> None:
    assert kept(ratio=0.3, min_channels=3) == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}
    assert kept(ratio=0.1, min_channels=5) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert kept(ratio=0.5, max_layer_ratio=0.5) == {"a": [0, 2], "b": [1, 2, 3]}
    assert kept(ratio=0.8, max_layer_ratio=1.0, scope="layer") == {"a": [0], "b": [1, 2]}


def test_an_impossible_budget_says_what_can_be_had() -> None:
    # two of each: 20 + 4 + 2 of 70
    assert refused(params=5, min_channels=2) == (
        "the budget cannot be met: params 5 asked, 26 (37% of the original) reachable; raise "
        "--max-layer-ratio, lower --min-channels or --align, or see inspect for the 1 frozen "
        "channels"
    )


def test_an_impossible_ratio_says_so_too() -> None:
    assert "9 of 10 channels to go, 4 can;" in refused(ratio=0.9, min_channels=3)
    both = refused(ratio=0.9, params=5, min_channels=2)
    assert (
        "params 5 asked, 26 (37% of the original) reachable; 9 of 10 channels to go, 6 can;" in both
    )


def test_only_the_groups_that_are_free_are_cut() -> None:
    held = replace(PAIR, channel_map=PAIR.channel_map.restricted((), ("a",)))
    config = PruneConfig(ratio=0.5, normalize="none")
    removed = chosen(held, BY_HAND, config, plain(1)).removed
    assert kept_units(PAIR, removed) == {"a": [0, 1, 2, 3], "b": [1, 2, 3]}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, (10, 12, 20)),
        (4, (12, 12, 20)),
        (8, (16, 16, 20)),
        (16, (16, 16, 20)),
        (32, (12, 12, 20)),
    ],
)
def test_alignment_only_concerns_what_runs_in_blocks(
    step: int, expected: tuple[int, int, int]
) -> None:
    scores = {n: np.arange(w, dtype=np.float64) for n, w in zip(NAMES, WIDTHS, strict=True)}
    config = PruneConfig(ratio=0.5, scope="layer")
    choice = chosen(NET, scores, config, plain(step))
    assert kept_widths(NET, choice.removed) == list(expected)


def test_the_first_step_that_can_be_met_is_taken() -> None:
    """In whole blocks of 16 no less than 16, 16 and 4 stay; below them it is 4, 4 and 4."""
    whole, below = plain(16), Alignment(16, 4)
    scores = {n: np.arange(1.0, w + 1) for n, w in zip(NAMES, WIDTHS, strict=True)}
    least = by_widths(16, 16, 4)[0]
    enough, less = PruneConfig(macs=least), PruneConfig(macs=least - 1)
    assert chosen(NET, scores, enough, whole, below).alignment == whole
    choice = chosen(NET, scores, less, whole, below)
    assert choice.alignment == below
    assert counted(choice.removed)[0] <= least - 1
    with pytest.raises(BudgetError, match=f"macs {least - 1:,} asked, {least:,} "):
        chosen(NET, scores, less, whole)


def test_what_comes_back_is_what_matters_most() -> None:
    """There is room for the worst of `two` or the worst of `dense`, whose score is higher."""
    scores = {name: np.full(width, 9.0) for name, width in zip(NAMES, WIDTHS, strict=True)}
    scores["two"][0], scores["dense"][0], scores["one"][0] = 1, 2, 3
    room = by_widths(19, 24, 39)[0]
    assert (
        by_widths(19, 23, 40)[0] <= room < min(by_widths(19, 24, 40)[0], by_widths(20, 23, 39)[0])
    )
    config = PruneConfig(macs=room, normalize="none")
    choice = chosen(NET, scores, config, plain(1))
    assert kept_widths(NET, choice.removed) == [19, 23, 40]


# -- networks of every kind -----------------------------------------------------------------------


@st.composite
def any_problem(draw: st.DrawFn) -> tuple[Problem, Scores, dict[str, Any]]:
    """Draws a network with scores, and with the inputs that its costs are counted for."""
    if draw(st.booleans()):
        found = COUPLED[draw(st.sampled_from(sorted(COUPLED)))]
        inputs: dict[str, Any] = {"x": np.zeros((1, 3, 4, 4), np.float32)}
    else:
        example: Example = draw(networks())
        inputs = example.inputs
        found = problem_of(example.model, {}, **inputs)
    return found, scores_of(found, draw(st.integers(0, 999)), draw(st.integers(0, 3))), inputs


def check_reachable(message: str, problem: Problem, ladder: Ladder, config: PruneConfig) -> None:
    """Fails unless the thinnest plan is too much, and costs what the refusal says."""
    thinnest, budget, units = (
        ladder.widths(ladder.last),
        budget_of(problem, config),
        quota(ladder, config),
    )
    gone = sum(ladder.whole) - sum(thinnest)
    assert message == shortfall(ladder, budget, units)
    cost = ladder.cost(thinnest)
    assert not budget.met_by(cost) or gone < units
    asked = (
        (cost.macs, budget.macs),
        (cost.params, budget.params),
        (cost.weight_bytes, budget.size),
    )
    for can, limit in asked:
        reason = f" asked, {can:,} ("
        assert (reason in message) or limit is None or can <= limit
    assert (f"{gone} can;" in message) == (gone < units)


@given(any_problem(), configs(), alignments)
def test_of_any_network_what_remains_is_what_was_asked_for(
    drawn: tuple[Problem, Scores, dict[str, Any]], config: PruneConfig, among: Sequence[Alignment]
) -> None:
    problem, scores, inputs = drawn
    budget = budget_of(problem, config)
    try:
        choice = chosen(problem, scores, config, *among)
    except BudgetError as error:
        check_reachable(str(error), problem, ladder_of(problem, scores, config, among[-1]), config)
        return
    found = counted_anew(problem, choice.removed, inputs)
    assert problem.costs.after(problem.channel_map.without(choice.removed)) == Cost(*found)
    assert budget.met_by(Cost(*found))
    assert len(choice.removed) >= quota(
        ladder_of(problem, scores, config, choice.alignment), config
    )
    for layer in layers_of(problem.channel_map, config):
        assert layer.width(kept_widths(problem, choice.removed)) >= layer.floor
    for group in problem.channel_map.groups:
        gone = np.isin(group.units, choice.removed)
        if gone.any() and not gone.all():
            assert scores[group.name][gone].max() <= scores[group.name][~gone].min()


def counted_anew(problem: Problem, removed: Ids, inputs: dict[str, Any]) -> tuple[int, int, int]:
    """Returns MACs, parameters and bytes of the model that is really cut."""
    thinner = thinned(problem, removed)
    found = CostModel(thinner, concrete_shapes(thinner, inputs)).now()
    return found.macs, found.params, found.weight_bytes


@pytest.mark.parametrize("name", COUPLED)
@given(seed=st.integers(0, 999), config=configs(), to=st.sampled_from([1, 2, 4, 8]))
def test_axes_that_groups_share_are_never_emptied(
    name: str, seed: int, config: PruneConfig, to: int
) -> None:
    """What the weights that are left cost, counted by hand, is what was predicted."""
    problem = COUPLED[name]
    try:
        removed = chosen(problem, scores_of(problem, seed), config, plain(to)).removed
    except BudgetError:
        return
    thinner = thinned(problem, removed)
    assert cost_of(thinner, x=(1, 3, 4, 4)) == problem.costs.after(
        problem.channel_map.without(removed)
    )
    assert 0 not in [d for t in ir.to_proto(thinner).graph.initializer for d in t.dims]


def test_a_group_beside_a_padded_shortcut_goes_altogether() -> None:
    """The eight of `wide` that nothing else meets are all worse than any of `stem`."""
    scores = {"stem": np.arange(9.0, 17.0), "wide": np.arange(8.0)}
    config = PruneConfig(ratio=0.5, normalize="none")
    removed = chosen(PADDED, scores, config, plain(1)).removed
    assert kept_units(PADDED, removed) == {"stem": [*range(8)], "wide": []}
    thinner = thinned(PADDED, removed)
    assert cost_of(thinner, x=(1, 3, 4, 4)).params == 8 * 3 + 8 * 8 + 8 * 2


@given(any_problem(), st.floats(0.05, 1.0), st.floats(0.05, 1.0), alignments)
def test_by_layer_a_wider_budget_never_gives_a_thinner_model(
    drawn: tuple[Problem, Scores, dict[str, Any]], a: float, b: float, among: Sequence[Alignment]
) -> None:
    """Where no two groups share a floor: which of them keeps it may change from rung to rung."""
    problem, scores, _ = drawn
    configs = [PruneConfig(macs=macs, scope="layer") for macs in (min(a, b), max(a, b))]
    if any(len(layer.positions) > 1 for layer in layers_of(problem.channel_map, configs[0])):
        return
    try:
        thin = chosen(problem, scores, configs[0], among[0]).removed
    except BudgetError:
        return
    wide = chosen(problem, scores, configs[1], among[0]).removed
    assert set(wide.tolist()) <= set(thin.tolist())


# -- the parts of a choice ------------------------------------------------------------------------


@given(any_scores(), st.floats(0.05, 1.0), st.sampled_from([1, 4, 8]))
def test_the_widest_plan_is_the_first_rung_that_will_do(
    scores: Scores, share: float, step: int
) -> None:
    """Every rung tried in turn says the same as halving."""
    config = PruneConfig(macs=share, scope="layer")
    ladder = ladder_of(NET, scores, config, plain(step))
    asked: list[tuple[int, ...]] = []

    def met(widths: tuple[int, ...]) -> bool:
        asked.append(widths)
        return by_widths(*widths)[0] <= share * MACS

    found = widest(ladder, met)
    rungs = [ladder.widths(level) for level in range(ladder.last + 1)]
    assert found == next((w for w in rungs if by_widths(*w)[0] <= share * MACS), None)
    assert len(asked) <= 2 + math.log2(ladder.last + 1)
    choice = fitting(ladder, budget_of(NET, config), config)
    assert (choice is None) == (found is None)
    if choice is not None and found is not None:
        assert choice == Choice(choice.removed, plain(step))
        assert kept_widths(NET, choice.removed) == list(found)


class TestTrimmed:
    """`trimmed`: the rule of Network Trimming, score < mean - k x std of the group."""

    def kept(self, scores: Scores, deviations: float, step: int = 1, **options: Any) -> object:  # noqa: ANN401
        config = PruneConfig(below_std=deviations, **{"max_layer_ratio": 1.0, **options})
        choice = trimmed(PAIR.channel_map, scores, PAIR.costs, config, plain(step))
        assert choice.alignment == plain(step)
        return kept_units(PAIR, choice.removed)

    @pytest.mark.parametrize(
        ("deviations", "a", "b"),
        [
            # a: mean 3, deviation 1.58; b: mean 5.58, deviation 2.95
            (2, [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]),
            (1.5, [0, 1, 2, 3], [0, 1, 2, 3, 4]),  # below .63 and 1.16
            (1, [0, 2, 3], [0, 1, 2, 3, 4]),  # below 1.42 and 2.63
            (0.5, [0, 2], [1, 2, 3, 4]),  # below 2.21 and 4.11
            (0, [0, 2], [1, 2, 3, 4]),
            (-0.5, [0, 2], [1, 2]),  # below 3.79 and 7.06
        ],
    )
    def test_by_hand(self, deviations: float, a: list[int], b: list[int]) -> None:
        assert self.kept(BY_HAND, deviations) == {"a": a, "b": b}

    def test_apoz_of_one_deviation_above_the_mean_is_trimmed(self) -> None:
        """As the paper has it: of mean 0.3 and deviation 0.35, 0.9 is too often zero."""
        apoz = {"a": np.array([0.1, 0.9, 0.1, 0.1]), "b": np.full(6, 0.5)}
        scores = {name: 1 - values for name, values in apoz.items()}
        assert self.kept(scores, 1) == {"a": [0, 2, 3], "b": [*range(6)]}

    def test_a_score_on_the_line_stays(self) -> None:
        even = {"a": np.array([1.0, 3.0, 1.0, 3.0]), "b": np.arange(6.0)}
        assert self.kept(even, 1) == {"a": [0, 1, 2, 3], "b": [1, 2, 3, 4, 5]}

    @given(st.floats(0, 1e6), st.floats(-2, 3))
    def test_where_all_are_alike_none_is_below_the_rest(
        self, score: float, deviations: float
    ) -> None:
        """The mean of 0.1, 0.1 and 0.1 is a little more than 0.1."""
        alike = {"a": np.full(4, score), "b": np.full(6, score)}
        assert self.kept(alike, deviations) == {"a": [*range(4)], "b": [*range(6)]}

    @given(st.integers(0, 999), st.floats(0, 2))
    def test_whatever_the_scores(self, seed: int, deviations: float) -> None:
        scores = scores_of(PAIR, seed, digits=2)
        expected = {
            name: [i for i, s in enumerate(own) if s >= np.mean(own) - deviations * np.std(own)]
            for name, own in scores.items()
        }
        assert self.kept(scores, deviations) == expected

    def test_floors_and_steps_hold(self) -> None:
        assert self.kept(BY_HAND, 0, min_channels=3) == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}
        assert self.kept(BY_HAND, 0, max_layer_ratio=0.25) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
        scores = {"left": np.arange(4.0), "right": np.arange(6.0), "mid": np.arange(8.0)}
        config = PruneConfig(below_std=0)
        problem = COUPLED["concat"]
        choice = trimmed(problem.channel_map, scores, problem.costs, config, plain(4))
        # 2, 3 and 4 are above the mean; in steps of 4 that is all of 4, 4 of 6, 4 of 8
        assert kept_widths(problem, choice.removed) == [4, 4, 4]
