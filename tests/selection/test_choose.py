"""What is removed: by hand on a small network, and as properties for any budget."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import Arrays, proto_of

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.config import Normalization, PruneConfig, Scope
from onnxtrim.errors import BudgetError
from onnxtrim.graph import load, normalize
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import CostModel, choose, make_plan
from onnxtrim.selection.align import Alignment
from onnxtrim.surgery import cut

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


@dataclass(frozen=True)
class Problem:
    """A model with everything that a choice needs but the scores."""

    model: ir.Model
    channel_map: ChannelMap
    costs: CostModel


def problem_of(text: str, weights: Arrays, *shape: int) -> Problem:
    model = normalize(load(proto_of(text, weights)))
    shapes = concrete_shapes(model, {"x": np.zeros(shape, np.float32)})
    return Problem(model, analyze(model), CostModel(model, shapes))


NET = problem_of(TEXT, {n: np.ones(s, np.float32) for n, s in SHAPES.items()}, 1, 3, 8, 8)
MACS = PIXELS * (20 * 27 + 24 * 180 + 48 * 9) + 48 * 40 + 40 * 5
PARAMS = 20 * 27 + 24 * 180 + 48 * 9 + 48 * 40 + 40 * 5


def counted(removed: Ids, problem: Problem = NET) -> tuple[int, int]:
    """Returns MACs and parameters of the model that is really cut, from its weights' sizes."""
    plan = make_plan(problem.channel_map, problem.model.graph.initializers, removed, "")
    thinner = ir.to_proto(cut(problem.model, problem.channel_map, plan))
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


def kept_widths(removed: Ids, problem: Problem = NET) -> list[int]:
    gone = set(removed.tolist())
    assert len(gone) == len(removed)
    assert removed.tolist() == sorted(gone)
    return [g.width - len(gone & set(g.units.tolist())) for g in problem.channel_map.groups]


def kept_units(removed: Ids, problem: Problem) -> dict[str, list[int]]:
    return {
        g.name: np.flatnonzero(~np.isin(g.units, removed)).tolist()
        for g in problem.channel_map.groups
    }


def fills_blocks(kept: int, width: int, to: Alignment) -> bool:
    """Returns whether a width is one that the runtime is fast at."""
    if width < to.step:
        return kept == width or kept % math.gcd(to.step, 4) == 0
    return kept == width or kept % (to.step if kept >= to.step else to.below) == 0


def plain(step: int) -> Alignment:
    """Returns the alignment of `--align STEP`."""
    return Alignment(step, step)


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


Scores = Mapping[str, npt.NDArray[np.float64]]


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
    """Draws a configuration with at least one budget."""
    macs, params = draw(amounts), draw(amounts)
    cap = draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.95, 1.0]))
    share = draw(st.one_of(st.none(), st.floats(0, min(cap, 0.99)))) if ratio else None
    assume((macs, params, share) != (None, None, None))
    return PruneConfig(
        ratio=share,
        macs=macs,
        params=params,
        scope=draw(st.sampled_from(get_args(Scope))) if scope is None else scope,
        normalize=draw(st.sampled_from(get_args(Normalization))),
        min_channels=draw(st.integers(1, 30)),
        max_layer_ratio=cap,
    )


def limits(config: PruneConfig) -> tuple[float, float]:
    """Returns the most MACs and parameters that may remain."""
    macs, params = config.macs, config.params
    return (
        math.inf if macs is None else math.floor(float(macs) * MACS),
        math.inf if params is None else math.floor(float(params) * PARAMS),
    )


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
    for name, limit, least, whole in zip(
        ("macs", "params"), limits(config), by_widths(*widths), (MACS, PARAMS), strict=True
    ):
        if least > limit:
            share = f"{least / whole:.0%}"
            reasons.append(f"{name} {limit:,} asked, {least:,} ({share} of the original) reachable")
    wanted, can = share_of(config, to), sum(WIDTHS) - sum(widths)
    if can < wanted:
        reasons.append(f"{wanted} of {sum(WIDTHS)} channels to go, {can} can")
    assert reasons, "the thinnest plan meets the budget, so there was no reason to refuse"
    assert message.startswith(f"the budget cannot be met: {'; '.join(reasons)}; raise ")
    assert "\n" not in message


@given(any_scores(), configs(), alignments)
def test_the_budget_is_met_or_the_refusal_names_what_is_reachable(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    try:
        choice = choose(NET.channel_map, scores, NET.costs, config, among)
    except BudgetError as error:
        check_refusal(str(error), config, among[-1])
        return
    macs, params = counted(choice.removed)
    assert macs <= limits(config)[0]
    assert params <= limits(config)[1]
    assert len(choice.removed) >= share_of(config, choice.alignment)
    for i, kept in enumerate(kept_widths(choice.removed)):
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
        found = choose(NET.channel_map, scores, NET.costs, config, among)
    except BudgetError:
        return
    for to in among[: among.index(found.alignment)]:
        with pytest.raises(BudgetError):
            choose(NET.channel_map, scores, NET.costs, config, [to])
    alone = choose(NET.channel_map, scores, NET.costs, config, [found.alignment])
    assert alone.removed.tolist() == found.removed.tolist()


@given(any_scores(), configs("global"), alignments)
def test_globally_no_step_stays_out_that_the_budget_has_room_for(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    try:
        choice = choose(NET.channel_map, scores, NET.costs, config, among)
    except BudgetError:
        return
    kept = kept_widths(choice.removed)
    for i, width in enumerate(WIDTHS):
        wider = list(kept)
        wider[i] = widened(min(kept[i] + 1, width), i, choice.alignment)
        macs, params = by_widths(*wider)
        room = macs <= limits(config)[0] and params <= limits(config)[1]
        room = room and sum(WIDTHS) - sum(wider) >= share_of(config, choice.alignment)
        assert wider == kept or not room, f"{NAMES[i]} could keep {wider[i]} instead of {kept[i]}"


@given(any_scores(), configs(), alignments)
def test_the_same_question_gets_the_same_plan(
    scores: Scores, config: PruneConfig, among: Sequence[Alignment]
) -> None:
    reverse = {name: scores[name].copy() for name in reversed(NAMES)}
    try:
        once = choose(NET.channel_map, scores, NET.costs, config, among)
    except BudgetError:
        return
    again = choose(NET.channel_map, reverse, NET.costs, config, among)
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
    )
    one = among[:1]
    try:
        thin = kept_widths(choose(NET.channel_map, scores, NET.costs, less, one).removed)
    except BudgetError:
        return
    wide = kept_widths(choose(NET.channel_map, scores, NET.costs, config, one).removed)
    assert all(a <= b for a, b in zip(thin, wide, strict=True))


@given(any_scores(), st.floats(0, 0.99), st.integers(1, 30), st.sampled_from([1, 4, 6, 8, 16]))
def test_by_layer_each_group_gives_its_own_share(
    scores: Scores, ratio: float, least: int, step: int
) -> None:
    config = PruneConfig(ratio=ratio, scope="layer", max_layer_ratio=1.0, min_channels=least)
    choice = choose(NET.channel_map, scores, NET.costs, config, [plain(step)])
    for i, kept in enumerate(kept_widths(choice.removed)):
        wanted = WIDTHS[i] - math.floor(ratio * WIDTHS[i] + 1e-9)
        assert kept == widened(max(wanted, floor_of(i, config)), i, plain(step))


@given(any_scores(), st.floats(0, 0.9))
def test_globally_the_ratio_is_that_of_all_units(scores: Scores, ratio: float) -> None:
    config = PruneConfig(ratio=ratio)
    removed = choose(NET.channel_map, scores, NET.costs, config, [plain(1)]).removed
    assert len(removed) == math.floor(ratio * sum(WIDTHS) + 1e-9)


# -- by hand --------------------------------------------------------------------------------------

PAIR = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 10] x) => (float[N, 1] y) {
  [a] u = Gemm(x, w1)
  [r1] v = Relu(u)
  [b] s = Gemm(v, w2)
  [r2] t = Relu(s)
  [last] y = Gemm(t, w3)
}"""
SMALL = problem_of(
    PAIR,
    {
        "w1": np.ones((10, 4), np.float32),
        "w2": np.ones((4, 6), np.float32),
        "w3": np.ones((6, 1), np.float32),
    },
    1,
    10,
)
BY_HAND: Scores = {
    "a": np.array([5.0, 1.0, 4.0, 2.0]),
    "b": np.array([3.0, 9.0, 8.0, 7.0, 6.0, 0.5]),
}


def chosen(scores: Scores = BY_HAND, step: int = 1, **options: object) -> dict[str, list[int]]:
    config = PruneConfig(**{"normalize": "none", **options})  # type: ignore[arg-type]
    choice = choose(SMALL.channel_map, scores, SMALL.costs, config, [plain(step)])
    return kept_units(choice.removed, SMALL)


def refused(**options: object) -> str:
    with pytest.raises(BudgetError) as caught:
        chosen(**options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_global_ratio_takes_the_lowest_of_all() -> None:
    # of ten, in order: b5 0.5, a1 1, a3 2, b0 3, a2 4, a0 5, b4 6, b3 7, b2 8, b1 9
    assert chosen(ratio=0.1) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(ratio=0.5) == {"a": [0], "b": [1, 2, 3, 4]}
    assert chosen(ratio=0.0) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}


def test_where_a_floor_holds_one_back_the_next_goes_instead() -> None:
    """The sixth of the order is the last of `a`, which stays."""
    assert chosen(ratio=0.6) == {"a": [0], "b": [1, 2, 3]}
    assert chosen(ratio=0.8) == {"a": [0], "b": [1]}


def test_a_ratio_by_layer_takes_the_lowest_of_each() -> None:
    assert chosen(ratio=0.5, scope="layer") == {"a": [0, 2], "b": [1, 2, 3]}
    assert chosen(ratio=0.25, scope="layer") == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(ratio=0.24, scope="layer") == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}


def test_by_layer_what_a_floor_holds_back_is_not_made_up_for() -> None:
    found = chosen(ratio=0.5, scope="layer", min_channels=4)
    assert found == {"a": [0, 1, 2, 3], "b": [1, 2, 3, 4]}


def test_normalisation_changes_whose_turn_it_is() -> None:
    # means 3 and 5.58: a 1.67 .33 1.33 .67, b .54 1.61 1.43 1.25 1.07 .09 -> b5, a1, b0, a3
    assert chosen(ratio=0.4, normalize="layer-mean") == {"a": [0, 2], "b": [1, 2, 3, 4]}
    # maxima 5 and 9: a 1 .2 .8 .4, b .33 1 .89 .78 .67 .06 -> b5, a1, b0, a3, b4
    assert chosen(ratio=0.5, normalize="max") == {"a": [0, 2], "b": [1, 2, 3]}


def test_ties_fall_by_group_and_then_by_position() -> None:
    even = {"a": np.ones(4), "b": np.ones(6)}
    assert chosen(even, ratio=0.2) == {"a": [2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert chosen(even, ratio=0.3, min_channels=2) == {"a": [2, 3], "b": [1, 2, 3, 4, 5]}
    assert chosen(even, ratio=0.5, scope="layer") == {"a": [2, 3], "b": [3, 4, 5]}


def test_a_budget_takes_no_more_than_it_must() -> None:
    # params = 10 a + a b + b: 70 at first
    assert chosen(params=70) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    # without b5: 40 + 20 + 5 = 65
    assert chosen(params=69) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(params=65) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    # without a1 as well 30 + 15 + 5 = 50; then b5 comes back: 30 + 18 + 6 = 54
    assert chosen(params=64) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert chosen(params=53) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}


def test_by_layer_nothing_comes_back() -> None:
    # order by share gone: b 1/6, a 1/4, b 2/6, ...; 65, 50, 46 remain
    assert chosen(params=64, scope="layer") == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(params=49, scope="layer") == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}


def test_ratio_and_budget_both_hold() -> None:
    assert chosen(params=64, ratio=0.1) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert chosen(params=64, ratio=0.2) == {"a": [0, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(params=69, ratio=0.5) == {"a": [0], "b": [1, 2, 3, 4]}


def test_floors_and_caps() -> None:
    assert chosen(ratio=0.3, min_channels=3) == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}
    assert chosen(ratio=0.1, min_channels=5) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4]}
    assert chosen(ratio=0.5, max_layer_ratio=0.5) == {"a": [0, 2], "b": [1, 2, 3]}
    assert chosen(ratio=0.8, max_layer_ratio=1.0, scope="layer") == {"a": [0], "b": [1, 2]}


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
    held = SMALL.channel_map.restricted((), ("a",))
    config = PruneConfig(ratio=0.5, normalize="none")
    removed = choose(held, BY_HAND, SMALL.costs, config, [plain(1)]).removed
    assert kept_units(removed, SMALL) == {"a": [0, 1, 2, 3], "b": [1, 2, 3]}


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
    choice = choose(NET.channel_map, scores, NET.costs, config, [plain(step)])
    assert kept_widths(choice.removed) == list(expected)


def test_the_first_step_that_can_be_met_is_taken() -> None:
    """In whole blocks of 16 no less than 16, 16 and 4 stay; below them it is 4, 4 and 4."""
    whole, below = plain(16), Alignment(16, 4)
    scores = {n: np.arange(1.0, w + 1) for n, w in zip(NAMES, WIDTHS, strict=True)}
    least = by_widths(16, 16, 4)[0]
    enough, less = PruneConfig(macs=least), PruneConfig(macs=least - 1)
    assert choose(NET.channel_map, scores, NET.costs, enough, [whole, below]).alignment == whole
    choice = choose(NET.channel_map, scores, NET.costs, less, [whole, below])
    assert choice.alignment == below
    assert counted(choice.removed)[0] <= least - 1
    with pytest.raises(BudgetError, match=f"macs {least - 1:,} asked, {least:,} "):
        choose(NET.channel_map, scores, NET.costs, less, [whole])


def test_what_comes_back_is_what_matters_most() -> None:
    """There is room for the worst of `two` or the worst of `dense`, whose score is higher."""
    scores = {name: np.full(width, 9.0) for name, width in zip(NAMES, WIDTHS, strict=True)}
    scores["two"][0], scores["dense"][0], scores["one"][0] = 1, 2, 3
    room = by_widths(19, 24, 39)[0]
    assert (
        by_widths(19, 23, 40)[0] <= room < min(by_widths(19, 24, 40)[0], by_widths(20, 23, 39)[0])
    )
    config = PruneConfig(macs=room, normalize="none")
    choice = choose(NET.channel_map, scores, NET.costs, config, [plain(1)])
    assert kept_widths(choice.removed) == [19, 23, 40]
