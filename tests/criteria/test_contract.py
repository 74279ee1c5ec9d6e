"""What every criterion owes, asked of each the moment the table lists it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of
from views import floats

from onnxtrim.calibration import InputSpec, Measurements, Statistic, measure, open_data
from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.config import CriterionName, DataConfig
from onnxtrim.criteria import CRITERIA, Criterion, GroupView, Needs, Scores
from onnxtrim.graph import load, normalize

ALL = list(CRITERIA)
BLIND: Mapping[str, str] = {"random": "a baseline: it looks at nothing, so nothing can move it"}
"""Criteria excused from what their scores must follow, each with the reason."""

WIDTHS = {"first": 6, "second": 5, "dense": 7}
NET = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 6, 6] x) => (float[N, 3] y) {
  [first] a = Conv <pads=[1, 1, 1, 1]> (x, w1, b1)
  [relu1] ra = Relu(a)
  [second] b = Conv(ra, w2, b2)
  [relu2] rb = Relu(b)
  [flat] f = Flatten(rb)
  [dense] c = Gemm(f, w3, b3)
  [relu3] rc = Relu(c)
  [last] y = Gemm(rc, w4)
}"""


def net_weights() -> Arrays:
    shapes = {
        "w1": (6, 2, 3, 3), "b1": (6,), "w2": (5, 6, 3, 3), "b2": (5,),
        "w3": (5 * 16, 7), "b3": (7,), "w4": (7, 3),
    }  # fmt: skip
    return {name: floats(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


@dataclass
class Case:
    """A model, its map, and every statistic of every tap."""

    model: ir.Model
    channel_map: ChannelMap
    measurements: Measurements

    def views(self, seed: int = 3) -> Iterator[GroupView]:
        for group in self.channel_map.groups:
            yield GroupView(group, self.channel_map, self.model, self.measurements, seed)

    def scores(self, criterion: Criterion) -> dict[str, Scores]:
        return {view.group.name: criterion.score(view) for view in self.views()}


def case(weights: Arrays | None = None) -> Case:
    model = normalize(load(proto_of(NET, weights or net_weights())))
    channel_map = analyze(model)
    assert {group.name: group.width for group in channel_map.groups} == WIDTHS
    spec = InputSpec("x", np.dtype(np.float32), (None, 2, 6, 6))
    data = open_data(floats(9, 2, 6, 6, seed=50), [spec], DataConfig())
    taps = [tap for group in channel_map.groups for tap in group.taps]
    return Case(model, channel_map, measure(model, taps, get_args(Statistic), data))


@pytest.fixture(scope="module")
def plain() -> Case:
    return case()


def test_the_table_lists_every_name_that_the_option_offers() -> None:
    assert set(CRITERIA) == set(get_args(CriterionName))
    assert [criterion.name for criterion in CRITERIA.values()] == ALL


@pytest.mark.parametrize("name", ALL)
def test_one_file_a_criterion_and_one_test_of_the_same_name(name: CriterionName) -> None:
    module = type(CRITERIA[name]).__module__.rpartition(".")[2]
    homes = [type(criterion).__module__ for criterion in CRITERIA.values()]
    assert homes.count(type(CRITERIA[name]).__module__) == 1
    assert Path(__file__).with_name(f"test_{module}.py").is_file()


@pytest.mark.parametrize("name", ALL)
def test_a_finite_float64_for_each_unit(name: CriterionName, plain: Case) -> None:
    for group, scores in plain.scores(CRITERIA[name]).items():
        assert scores.dtype == np.float64
        assert scores.shape == (WIDTHS[group],)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ALL)
def test_higher_means_keep(name: CriterionName) -> None:
    """Unit 2 of every group is made with weights of 0, so that it never fires."""
    if name in BLIND:
        pytest.skip(BLIND[name])
    weights = net_weights()
    for key, axis in (("w1", 0), ("b1", 0), ("w2", 0), ("b2", 0), ("w3", 1), ("b3", 0)):
        weights[key] = np.abs(weights[key]) + 0.1
        np.moveaxis(weights[key], axis, 0)[2] = 0
    for group, scores in case(weights).scores(CRITERIA[name]).items():
        others = np.delete(scores, 2)
        assert scores[2] == 0, group
        assert (others > 0).all(), group


@pytest.mark.parametrize("name", ALL)
def test_scores_move_with_the_channels(name: CriterionName, plain: Case) -> None:
    if name in BLIND:
        pytest.skip(BLIND[name])
    first, second, dense = [3, 0, 5, 1, 4, 2], [4, 2, 0, 1, 3], [6, 4, 0, 2, 1, 5, 3]
    weights = net_weights()
    weights["w1"], weights["b1"] = weights["w1"][first], weights["b1"][first]
    weights["w2"], weights["b2"] = weights["w2"][second][:, first], weights["b2"][second]
    rows = (np.array(second)[:, None] * 16 + np.arange(16)).reshape(-1)
    weights["w3"], weights["b3"] = weights["w3"][rows][:, dense], weights["b3"][dense]
    weights["w4"] = weights["w4"][dense]
    before, after = plain.scores(CRITERIA[name]), case(weights).scores(CRITERIA[name])
    for group, order in (("first", first), ("second", second), ("dense", dense)):
        assert np.unique(before[group]).size > 1, "a constant score would follow anything"
        np.testing.assert_allclose(after[group], before[group][order], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_scoring_changes_nothing(name: CriterionName) -> None:
    own = case()
    model = ir.to_proto(own.model).SerializeToString(deterministic=True)
    arrays = [a for row in own.measurements.statistics.values() for a in row.values()]
    copies = [array.copy() for array in arrays]
    for view in own.views():
        scores = CRITERIA[name].score(view)
        scores[:] = -1  # what it returned must be nobody else's
    assert ir.to_proto(own.model).SerializeToString(deterministic=True) == model
    for array, copy in zip(arrays, copies, strict=True):
        assert array.tobytes() == copy.tobytes()


@pytest.mark.parametrize("name", ALL)
def test_the_same_question_gets_the_same_answer(name: CriterionName, plain: Case) -> None:
    once, again = plain.scores(CRITERIA[name]), case().scores(CRITERIA[name])
    for group, scores in once.items():
        assert scores.tobytes() == again[group].tobytes()


@pytest.mark.parametrize("name", ALL)
def test_it_looks_at_no_activation_but_those_it_says(name: CriterionName, plain: Case) -> None:
    criterion = CRITERIA[name]
    expected = plain.scores(criterion)
    if criterion.needs is not Needs.ACTIVATIONS:
        assert criterion.statistics == ()
        assert not criterion.wants_zeroes
        bare = Case(plain.model, plain.channel_map, Measurements({}, 0, ""))
        views = [
            GroupView(g, plain.channel_map, plain.model, None, 3) for g in plain.channel_map.groups
        ]
        for view, scores in zip(views, bare.scores(criterion).values(), strict=True):
            assert criterion.score(view).tobytes() == scores.tobytes()
            assert scores.tobytes() == expected[view.group.name].tobytes()
        return
    assert criterion.statistics
    only = {
        key: {s: row[s] for s in criterion.statistics}
        for key, row in plain.measurements.statistics.items()
    }
    alone = Case(plain.model, plain.channel_map, Measurements(only, 9, ""))
    for group, scores in alone.scores(criterion).items():
        assert scores.tobytes() == expected[group].tobytes()
    view = GroupView(plain.channel_map.groups[0], plain.channel_map, plain.model, None, 3)
    with pytest.raises(ValueError, match="was not measured"):
        criterion.score(view)


@pytest.mark.parametrize("name", [n for n in ALL if CRITERIA[n].needs is not Needs.WEIGHTS])
def test_it_reads_no_weight_unless_it_says_so(name: CriterionName, plain: Case) -> None:
    def fail() -> ir.TensorProtocol:
        raise AssertionError("a weight was read")

    sealed = plain.model.clone()
    for value in sealed.graph.initializers.values():
        old = value.const_value
        assert old is not None
        value.const_value = ir.LazyTensor(fail, dtype=old.dtype, shape=ir.Shape(old.shape.numpy()))
    blind = Case(sealed, plain.channel_map, plain.measurements)
    expected = plain.scores(CRITERIA[name])
    for group, scores in blind.scores(CRITERIA[name]).items():
        assert scores.tobytes() == expected[group].tobytes()


@pytest.mark.parametrize("name", [n for n in ALL if CRITERIA[n].needs is Needs.WEIGHTS])
def test_a_criterion_on_weights_follows_the_weights(name: CriterionName, plain: Case) -> None:
    weights = net_weights()
    weights["w1"][4] *= 3
    before, after = plain.scores(CRITERIA[name])["first"], case(weights).scores(CRITERIA[name])
    np.testing.assert_allclose(after["first"][4], 3 * before[4], rtol=1e-6)
    assert np.delete(after["first"], 4).tobytes() == np.delete(before, 4).tobytes()
