"""What every criterion owes, asked of each the moment the table lists it."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays
from views import analysed, floats, observed

from onnxtrim.calibration import Measurements, input_specs, measure, open_data
from onnxtrim.channels import ChannelMap
from onnxtrim.config import CriterionName, DataConfig
from onnxtrim.criteria import CRITERIA, GroupView, Needs, Rows
from onnxtrim.errors import UsageError

ALL = list(CRITERIA)
MUTE: Mapping[CriterionName, str] = {"taylor": "no gradients can be measured yet"}
"""Criteria that cannot score, each with the reason."""
BLIND: Mapping[CriterionName, str] = {"random": "a baseline: it looks at nothing"}
"""Criteria whose scores follow nothing, each with the reason."""
RELATIVE: Mapping[CriterionName, str] = {
    "fpgm": "it compares units: one that never fires may be unlike the others. Of a unit that the "
    "others can stand in for, test_fpgm.py asks that it score lowest",
}
"""Criteria for which a unit that never fires need not be the least, each with the reason."""

# `first` is a residual stream, written, read, activated and scaled twice; a unit of `third` has two
# places behind the Flatten.
NET = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 3] y) {
  [first] a = Conv <pads=[1, 1, 1, 1]> (x, w1, b1)
  [norm1] na = BatchNormalization(a, g1, b1, zero6, one6)
  [relu1] ra = Relu(na)
  [second] b = Conv <pads=[1, 1, 1, 1]> (ra, w2, b2)
  [norm2] nb = BatchNormalization(b, g2, b2, zero5, one5)
  [relu2] rb = Relu(nb)
  [back] c = Conv(rb, w3, b1)
  [norm3] nc = BatchNormalization(c, g3, b1, zero6, one6)
  [add] s = Add(nc, ra)
  [relu3] rs = Relu(s)
  [third] d = Conv <strides=[2, 4]> (rs, w4, b4)
  [norm4] nd = BatchNormalization(d, g4, b4, zero4, one4)
  [relu4] rd = Relu(nd)
  [flat] f = Flatten(rd)
  [dense] e = Gemm(f, w5, b5)
  [norm5] ne = BatchNormalization(e, g5, b5, zero7, one7)
  [relu5] re = Relu(ne)
  [last] y = Gemm(re, w6)
}"""
INPUTS = floats(9, 2, 4, 4, seed=50)
WIDTHS = {"first": 6, "second": 5, "third": 4, "dense": 7}
SHAPES = {
    "w1": (6, 2, 3, 3), "b1": (6,), "g1": (6,), "w2": (5, 6, 3, 3), "b2": (5,), "g2": (5,),
    "w3": (6, 5, 1, 1), "g3": (6,), "w4": (4, 6, 1, 1), "b4": (4,), "g4": (4,),
    "w5": (4 * 2, 7), "b5": (7,), "g5": (7,), "w6": (7, 3),
}  # fmt: skip
MADE: Mapping[str, tuple[tuple[str, int], ...]] = {
    "first": (("w1", 0), ("b1", 0), ("g1", 0), ("w3", 0), ("g3", 0)),
    "second": (("w2", 0), ("b2", 0), ("g2", 0)),
    "third": (("w4", 0), ("b4", 0), ("g4", 0)),
    "dense": (("w5", 1), ("b5", 0), ("g5", 0)),
}
"""The axes that make the units of each group."""
READ: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "first": (("w2", 1, 1), ("w4", 1, 1)),
    "second": (("w3", 1, 1),),
    "third": (("w5", 0, 2),),
    "dense": (("w6", 0, 1),),
}
"""The axes that read them, with the places a unit has there."""


def asked(*excuses: Mapping[CriterionName, str]) -> pytest.MarkDecorator:
    """Returns a test of every criterion that can score and that none of `excuses` lets off."""
    let_off = set(MUTE).union(*excuses)
    return pytest.mark.parametrize("name", [name for name in ALL if name not in let_off])


def net_weights() -> Arrays:
    weights: Arrays = {n: floats(*shape, seed=i) for i, (n, shape) in enumerate(SHAPES.items())}
    for width in WIDTHS.values():
        weights[f"zero{width}"] = np.zeros(width, np.float32)
        weights[f"one{width}"] = np.ones(width, np.float32)
    return weights


@dataclass
class Case:
    """A model, its map, and what was measured."""

    model: ir.Model
    channel_map: ChannelMap
    measurements: Measurements | None

    def views(self, seed: int = 3) -> Iterator[GroupView]:
        for group in self.channel_map.groups:
            yield GroupView(group, self.channel_map, self.model, self.measurements, seed)

    def rows(self, name: CriterionName, seed: int = 3) -> dict[str, Rows]:
        return {view.group.name: CRITERIA[name].score(view) for view in self.views(seed)}


def case(weights: Arrays | None = None) -> Case:
    """Returns the net with every statistic that a criterion may ask for."""
    model, channel_map = analysed(NET, weights or net_weights())
    assert {group.name: group.width for group in channel_map.groups} == WIDTHS
    return Case(model, channel_map, observed(model, channel_map, INPUTS))


def assert_same(found: Mapping[str, Rows], expected: Mapping[str, Rows]) -> None:
    assert found.keys() == expected.keys()
    for group, rows in expected.items():
        assert found[group].tobytes() == rows.tobytes(), group


@pytest.fixture(scope="module")
def plain() -> Case:
    return case()


class TestTable:
    """What is listed, and where it lives."""

    def test_it_lists_every_name_that_the_option_offers(self) -> None:
        assert set(CRITERIA) == set(get_args(CriterionName))
        assert [criterion.name for criterion in CRITERIA.values()] == ALL

    def test_whoever_is_excused_is_listed(self) -> None:
        assert {*MUTE, *BLIND, *RELATIVE} <= set(ALL)

    @pytest.mark.parametrize("name", ALL)
    def test_one_file_a_criterion_and_one_test_of_the_same_name(self, name: CriterionName) -> None:
        module = type(CRITERIA[name]).__module__
        homes = [type(criterion).__module__ for criterion in CRITERIA.values()]
        assert homes.count(module) == 1
        assert Path(__file__).with_name(f"test_{module.rpartition('.')[2]}.py").is_file()

    @pytest.mark.parametrize("name", ALL)
    def test_the_file_begins_with_the_formula(self, name: CriterionName) -> None:
        text = sys.modules[type(CRITERIA[name]).__module__].__doc__ or ""
        assert "score(c) " in text

    @pytest.mark.parametrize("name", [name for name in ALL if name not in BLIND])
    def test_behind_the_formula_comes_its_source(self, name: CriterionName) -> None:
        text = sys.modules[type(CRITERIA[name]).__module__].__doc__ or ""
        assert re.search(r"score\(c\) .* et al\., .*\b20\d\d\b", text, flags=re.DOTALL)

    @pytest.mark.parametrize("name", ALL)
    def test_the_page_of_criteria_has_a_row_for_it(self, name: CriterionName) -> None:
        page = Path(__file__).parents[2] / "docs" / "criteria.md"
        assert f"\n| `{name}` | " in page.read_text(encoding="utf-8")

    @pytest.mark.parametrize("name", list(MUTE))
    def test_who_cannot_score_says_what_to_choose_instead(
        self, name: CriterionName, plain: Case
    ) -> None:
        with pytest.raises(UsageError, match=f"--criterion {name} .*; choose "):
            plain.rows(name)


@asked()
def test_a_finite_float64_for_each_member_and_unit(name: CriterionName, plain: Case) -> None:
    for view in plain.views():
        assert CRITERIA[name].unfit(view) is None
        rows = CRITERIA[name].score(view)
        assert rows.dtype == np.float64
        assert rows.ndim == 2
        assert rows.shape[0] >= 1
        assert rows.shape[1] == WIDTHS[view.group.name]
        assert np.isfinite(rows).all()


@asked(BLIND, RELATIVE)
def test_higher_means_keep(name: CriterionName) -> None:
    """Unit 2 of every group is made with weights, bias and scales of 0, so that it never fires."""
    weights = {key: np.abs(array) + 0.1 * (key in SHAPES) for key, array in net_weights().items()}
    for key, axis in (place for places in MADE.values() for place in places):
        np.moveaxis(weights[key], axis, 0)[2] = 0
    for group, rows in case(weights).rows(name).items():
        assert (rows[:, 2] == 0).all(), group
        assert (np.delete(rows, 2, axis=1) > 0).all(), group


@asked(BLIND)
def test_scores_move_with_the_channels(name: CriterionName, plain: Case) -> None:
    rng = np.random.default_rng(1)
    orders = {group: rng.permutation(width) for group, width in WIDTHS.items()}
    weights = net_weights()
    for group, order in orders.items():
        for key, axis in MADE[group]:
            weights[key] = weights[key].take(order, axis)
        for key, axis, places in READ[group]:
            spread = (order[:, None] * places + np.arange(places)).reshape(-1)
            weights[key] = weights[key].take(spread, axis)
    before, after = plain.rows(name), case(weights).rows(name)
    for group, order in orders.items():
        assert np.unique(before[group]).size > 1, "a constant score would follow anything"
        np.testing.assert_allclose(after[group], before[group][:, order], rtol=1e-5, atol=1e-6)


@asked()
def test_scoring_changes_nothing(name: CriterionName) -> None:
    own = case()
    model = ir.to_proto(own.model).SerializeToString(deterministic=True)
    assert own.measurements is not None
    arrays = [a for row in own.measurements.statistics.values() for a in row.values()]
    copies = [array.copy() for array in arrays]
    for rows in own.rows(name).values():
        rows[:] = -1  # what it returned must be nobody else's
    assert ir.to_proto(own.model).SerializeToString(deterministic=True) == model
    for array, copy in zip(arrays, copies, strict=True):
        assert array.tobytes() == copy.tobytes()


@asked()
def test_the_same_question_gets_the_same_answer(name: CriterionName, plain: Case) -> None:
    assert_same(case().rows(name), plain.rows(name))


@asked()
def test_only_chance_depends_on_the_seed(name: CriterionName, plain: Case) -> None:
    once, again = plain.rows(name, seed=1), plain.rows(name, seed=2)
    if name in BLIND:
        assert all(once[group].tolist() != again[group].tolist() for group in once)
    else:
        assert_same(again, once)


class TestNeeds:
    """What a criterion says that it looks at is all that it looks at."""

    @asked()
    def test_the_statistics_that_it_names_where_it_asks_for_them_are_enough(
        self, name: CriterionName, plain: Case
    ) -> None:
        rule, found = CRITERIA[name], plain.measurements
        assert found is not None
        taps = {(t.tensor, t.axis) for g in plain.channel_map.groups for t in rule.taps(g)}
        only = {key: {s: found.statistics[key][s] for s in rule.statistics} for key in taps}
        assert bool(taps) == bool(rule.statistics) == rule.needs.data
        bare = Case(plain.model, plain.channel_map, Measurements(only, 9, "") if taps else None)
        assert_same(bare.rows(name), plain.rows(name))

    @pytest.mark.parametrize("name", [n for n in ALL if CRITERIA[n].statistics])
    def test_what_it_asks_for_can_be_measured(self, name: CriterionName, plain: Case) -> None:
        rule = CRITERIA[name]
        taps = [tap for group in plain.channel_map.groups for tap in rule.taps(group)]
        data = open_data(INPUTS, input_specs(plain.model), DataConfig())
        found = measure(plain.model, taps, rule.statistics, data)
        rows, expected = Case(plain.model, plain.channel_map, found).rows(name), plain.rows(name)
        for group in expected:
            np.testing.assert_allclose(rows[group], expected[group], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "statistic"), [(n, s) for n in ALL for s in CRITERIA[n].statistics]
    )
    def test_it_cannot_do_without_any_of_them(
        self, name: CriterionName, statistic: str, plain: Case
    ) -> None:
        assert plain.measurements is not None
        rest = {
            key: {s: row for s, row in found.items() if s != statistic}
            for key, found in plain.measurements.statistics.items()
        }
        with pytest.raises(ValueError, match=f"^{statistic} of .* was not measured"):
            Case(plain.model, plain.channel_map, Measurements(rest, 9, "")).rows(name)

    @pytest.mark.parametrize("name", [n for n in ALL if Needs.WEIGHTS not in CRITERIA[n].needs])
    def test_it_reads_no_weight_unless_it_says_so(self, name: CriterionName, plain: Case) -> None:
        def fail() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        sealed = plain.model.clone()
        for value in sealed.graph.initializers.values():
            old = value.const_value
            assert old is not None
            shape = ir.Shape(old.shape.numpy())
            value.const_value = ir.LazyTensor(fail, dtype=old.dtype, shape=shape)
        blind = Case(sealed, plain.channel_map, plain.measurements)
        assert_same(blind.rows(name), plain.rows(name))

    @asked(BLIND)
    def test_it_follows_what_it_looks_at(self, name: CriterionName, plain: Case) -> None:
        """Other weights with the old measurements move it if it looks at weights, and so on."""
        needs, before = CRITERIA[name].needs, plain.rows(name)
        other = case({key: array * 2 for key, array in net_weights().items()})
        moved = {
            Needs.WEIGHTS: Case(other.model, plain.channel_map, plain.measurements),
            Needs.ACTIVATIONS | Needs.INPUTS: Case(
                plain.model, plain.channel_map, other.measurements
            ),
        }
        for need, changed in moved.items():
            after = changed.rows(name)
            differs = any(after[group].tobytes() != before[group].tobytes() for group in before)
            assert differs == bool(needs & need), need
