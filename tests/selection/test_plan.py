"""The plan as JSON, what it may leave out, and every line that refuses one."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_equal_to_masked, proto_of
from problems import PADDED

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.errors import PlanError
from onnxtrim.graph import load, normalize
from onnxtrim.selection import PlannedGroup, PrunePlan, make_plan, removed_units
from onnxtrim.surgery import changes, cut

# Widths 6 (`first`, depthwise behind it) and 4; `last` writes the output.
TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) {
  [first] a = Conv(x, w1, b1)
  [relu] r = Relu(a)
  [deep] d = Conv <group=6> (r, wd)
  [flat] f = Flatten(d)
  [dense] h = Gemm <transB=1> (f, w2, b2)
  [act] s = Relu(h)
  [last] y = Gemm(s, w3)
}"""
SHAPES = {
    "w1": (6, 3, 1, 1),
    "b1": (6,),
    "wd": (6, 1, 3, 3),
    "w2": (4, 24),
    "b2": (4,),
    "w3": (4, 2),
}


def weights(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(shape).astype(np.float32) for n, shape in SHAPES.items()}


def model_of(seed: int = 0) -> ir.Model:
    return normalize(load(proto_of(TEXT, weights(seed))))


MODEL = model_of()
MAP: ChannelMap = analyze(MODEL)
FIRST, DENSE = MAP.groups


def planned(*units: int) -> PrunePlan:
    return make_plan(MAP, MODEL.graph.initializers, np.array(units, dtype=np.int64), "abc")


def pixels(*channels: int) -> tuple[int, ...]:
    """Returns where channels of 2 x 2 pixels lie once they are flattened."""
    return tuple(4 * c + p for c in channels for p in range(4))


def refused(plan: PrunePlan) -> str:
    with pytest.raises(PlanError) as caught:
        removed_units(MAP, plan)
    with pytest.raises(PlanError):
        cut(MODEL, MAP, plan)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def only(tensor: str, axis: int, *kept: int) -> PrunePlan:
    return PrunePlan("", {tensor: {axis: kept}})


class TestMaking:
    """`make_plan`."""

    def test_every_axis_that_loses_something_is_listed(self) -> None:
        plan = planned(*FIRST.units[[1, 4]], DENSE.units[0])
        stay = (0, 2, 3, 5)
        assert plan.initializers == {
            "b1": {0: stay},
            "b2": {0: (1, 2, 3)},
            "w1": {0: stay},
            "w2": {0: (1, 2, 3), 1: pixels(*stay)},
            "w3": {0: (1, 2, 3)},
            "wd": {0: stay},
        }
        assert plan.groups == (
            PlannedGroup("first", 6, stay),
            PlannedGroup("dense", 4, (1, 2, 3)),
        )
        assert plan.model_sha256 == "abc"

    def test_nothing_removed_is_nothing_listed(self) -> None:
        plan = planned()
        assert (plan.initializers, plan.groups) == ({}, ())
        assert removed_units(MAP, plan).tolist() == []

    def test_the_units_come_back(self) -> None:
        units = sorted([*FIRST.units[[0, 5]], *DENSE.units[[1, 2]]])
        assert removed_units(MAP, planned(*units)).tolist() == units


class TestJson:
    """`to_json` and `from_json`."""

    def plan(self) -> PrunePlan:
        plan = planned(*FIRST.units[[1, 4]], DENSE.units[0])
        thinner = cut(MODEL, MAP, plan)
        return PrunePlan("abc", plan.initializers, changes(MODEL, thinner), plan.groups)

    def test_round_trip(self) -> None:
        plan = self.plan()
        assert plan.attributes == {"deep": {"group": 4}}
        again = PrunePlan.from_json(plan.to_json())
        assert again == plan
        assert again.to_json() == plan.to_json()

    def test_what_is_written(self) -> None:
        document = json.loads(self.plan().to_json())
        assert list(document) == [
            "schema", "model_sha256", "initializers", "attributes", "groups",
        ]  # fmt: skip
        assert document["schema"] == "onnxtrim.plan/1"
        assert document["initializers"]["w2"] == {
            "0": [1, 2, 3],
            "1": list(pixels(0, 2, 3, 5)),
        }
        assert document["groups"][0] == {"name": "first", "width": 6, "kept": [0, 2, 3, 5]}
        assert document["attributes"] == {"deep": {"group": 4}}

    def test_a_plan_by_hand_needs_initializers_only(self) -> None:
        text = '{"schema": "onnxtrim.plan/1", "initializers": {"w1": {"0": [0, 1]}}}'
        assert PrunePlan.from_json(text) == only("w1", 0, 0, 1)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is not JSON (line 1"),
            ("{", "is not JSON (line 1"),
            ('{\n"schema": "onnxtrim.plan/1",\n', "is not JSON (line 3"),
            ("not a plan", "is not JSON (line 1"),
            ("[]", "has schema None"),
            ("7", "has schema None"),
            ("{}", "has schema None"),
            ('{"schema": "onnxtrim.report/1"}', "'onnxtrim.report/1'; this version reads"),
            ('{"schema": "onnxtrim.plan/2"}', "'onnxtrim.plan/2'; this version reads"),
        ],
    )
    def test_what_is_no_plan(self, text: str, said: str) -> None:
        with pytest.raises(PlanError) as caught:
            PrunePlan.from_json(text)
        assert str(caught.value).startswith("the plan ")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: d.pop("initializers"),
            lambda d: d.update(initializers=[]),
            lambda d: d.update(initializers={"w1": [0, 1]}),
            lambda d: d.update(initializers={"w1": {"first": [0, 1]}}),
            lambda d: d.update(initializers={"w1": {"0": 3}}),
            lambda d: d.update(initializers={"w1": {"0": ["one"]}}),
            lambda d: d.update(initializers={"w1": {"0": [[0], [1]]}}),
            lambda d: d.update(initializers={"w1": {"0": [None]}}),
            lambda d: d.update(initializers={"w1": {"0": [0.5, 1.7]}}),
            lambda d: d.update(initializers={"w1": {"0": "012"}}),
            lambda d: d.update(groups=[{"name": "first"}]),
            lambda d: d.update(groups=[7]),
            lambda d: d.update(groups=None),
            lambda d: d.update(attributes=[1]),
        ],
    )
    def test_a_damaged_plan(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(self.plan().to_json())
        change(document)
        with pytest.raises(PlanError, match=r"^the plan is damaged: .+"):
            PrunePlan.from_json(json.dumps(document))


class TestRefusals:
    """`removed_units`, and with it `cut`."""

    def test_an_unknown_initializer(self) -> None:
        message = refused(only("nowhere", 0, 0))
        assert message == "the plan cuts axis 0 of 'nowhere', which carries no channels here"

    @pytest.mark.parametrize("axis", [2, 7, -1])
    def test_an_axis_without_channels(self, axis: int) -> None:
        assert f"axis {axis} of 'w1', which carries no channels" in refused(only("w1", axis, 0))

    @pytest.mark.parametrize("kept", [(0, 6), (-1, 0), (0, 1, 99)])
    def test_an_index_out_of_range(self, kept: tuple[int, ...]) -> None:
        message = refused(only("w1", 0, *kept))
        assert "indices of axis 0 of 'w1' that are not increasing figures from 0 to 5" in message

    @pytest.mark.parametrize("kept", [(1, 0), (0, 0, 1), (2, 2)])
    def test_indices_that_do_not_increase(self, kept: tuple[int, ...]) -> None:
        assert "not increasing figures from 0 to 5" in refused(only("b1", 0, *kept))

    @pytest.mark.parametrize(("tensor", "axis", "kept"), [("w1", 1, (0, 1)), ("w3", 1, (0,))])
    def test_frozen_channels(self, tensor: str, axis: int, kept: tuple[int, ...]) -> None:
        message = refused(only(tensor, axis, *kept))
        assert message == (
            f"the plan cuts frozen channels on axis {axis} of {tensor!r}; see inspect"
        )

    def test_a_group_that_the_user_holds_is_frozen_too(self) -> None:
        held = MAP.restricted((), ("first",))
        with pytest.raises(PlanError, match="frozen channels on axis 0 of 'w1'"):
            removed_units(held, only("w1", 0, 0, 1))

    def test_half_a_unit_on_one_axis(self) -> None:
        message = refused(only("w2", 1, *range(2, 24)))  # two of the four pixels of channel 0
        assert message == "the plan keeps channels on axis 1 of 'w2' that it removes elsewhere"

    def test_one_end_of_a_unit_and_not_the_other(self) -> None:
        plan = PrunePlan("", {"w1": {0: (0, 1, 2)}, "b1": {0: (0, 1, 2, 3, 4, 5)}})
        assert "on axis 0 of 'b1' that it removes elsewhere" in refused(plan)

    def test_nothing_left(self) -> None:
        message = refused(only("w1", 0))
        assert message == "the plan leaves nothing on axis 0 of 'w1'; keep one at least"


class TestCompletion:
    """One axis of one initializer names a unit; the other axes follow."""

    @pytest.mark.parametrize(
        ("tensor", "axis", "kept"),
        [
            ("w1", 0, (0, 2, 3, 5)),
            ("b1", 0, (0, 2, 3, 5)),
            ("wd", 0, (0, 2, 3, 5)),
            ("w2", 1, pixels(0, 2, 3, 5)),
        ],
    )
    def test_any_axis_will_do(self, tensor: str, axis: int, kept: tuple[int, ...]) -> None:
        plan = only(tensor, axis, *kept)
        removed = removed_units(MAP, plan)
        assert removed.tolist() == sorted(FIRST.units[[1, 4]].tolist())
        thinner = cut(MODEL, MAP, plan)
        sizes = {n: tuple(v.const_value.shape.numpy()) for n, v in initializers(thinner)}
        assert sizes == SHAPES | {
            "w1": (4, 3, 1, 1),
            "b1": (4,),
            "wd": (4, 1, 3, 3),
            "w2": (4, 16),
        }
        x = {"x": np.random.default_rng(3).standard_normal((2, 3, 4, 4)).astype(np.float32)}
        assert_equal_to_masked(MODEL, MAP, removed, thinner, x)


def initializers(model: ir.Model) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in model.graph.initializers.items()]


def test_a_plan_fits_another_checkpoint_of_the_same_graph() -> None:
    plan = PrunePlan.from_json(planned(*FIRST.units[[1, 4]], DENSE.units[0]).to_json())
    other = model_of(seed=9)
    channel_map = analyze(other)
    thinner = cut(other, channel_map, plan)
    expected = weights(seed=9)
    for name, value in initializers(thinner):
        for axis, kept in plan.initializers[name].items():
            expected[name] = expected[name].take(kept, axis=axis)
        assert value.const_value.numpy().tobytes() == expected[name].tobytes()
    x = {"x": np.random.default_rng(3).standard_normal((2, 3, 4, 4)).astype(np.float32)}
    assert_equal_to_masked(other, channel_map, removed_units(channel_map, plan), thinner, x)


def test_a_plan_does_not_fit_a_model_of_other_widths() -> None:
    rng = np.random.default_rng(0)
    wider = {n: rng.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    wider |= {"w1": np.ones((5, 3, 1, 1), np.float32), "b1": np.ones(5, np.float32)}
    wider |= {"wd": np.ones((5, 1, 3, 3), np.float32), "w2": np.ones((4, 20), np.float32)}
    model = normalize(load(proto_of(TEXT.replace("group=6", "group=5"), wider)))
    with pytest.raises(PlanError, match="not increasing figures from 0 to 4"):
        cut(model, analyze(model), planned(*FIRST.units[[1, 4]]))


def test_a_group_may_go_altogether_where_others_share_its_axes() -> None:
    """What a convolution makes beside a shortcut padded with zeros."""
    rng = np.random.default_rng(1)
    model = PADDED.model.clone()
    for value in model.graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT:
            assert value.const_value is not None
            array = rng.standard_normal(value.const_value.shape.numpy()).astype(np.float32)
            value.const_value = ir.Tensor(array, name=value.name)
    channels = analyze(model)
    stem, wide = channels.groups
    removed = np.sort(np.concatenate([wide.units, stem.units[:3]]))
    plan = make_plan(channels, model.graph.initializers, removed, "")
    # `stem` meets the convolution in channels 2 to 9 of 16
    assert plan.initializers["w1"] == {0: (5, 6, 7, 8, 9), 1: (3, 4, 5, 6, 7)}
    assert plan.groups == (PlannedGroup("stem", 8, (3, 4, 5, 6, 7)), PlannedGroup("wide", 8, ()))
    again = PrunePlan.from_json(plan.to_json())
    assert again == plan
    assert removed_units(channels, again).tolist() == removed.tolist()
    x = {"x": rng.standard_normal((2, 3, 4, 4)).astype(np.float32)}
    assert_equal_to_masked(model, channels, removed, cut(model, channels, again), x)


def test_nothing_left_of_a_computed_tensor() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N, 3, 4, 4] x) => (float[N, 2, 4, 4] y) <int64[2] sizes = {2, 2}> {
      [first] h = Conv(x, w1)
      p, q = Split <axis = 1> (h, sizes)
      [last] y = Conv(p, w2)
      [other] z = Conv(q, w3)
      [sum] s = Conv(z, w4)
      y2 = Add(y, s)
    }""".replace("[N, 2, 4, 4] y)", "[N, 2, 4, 4] y2)")
    shapes = {"w1": (4, 3, 1, 1), "w2": (2, 2, 1, 1), "w3": (3, 2, 1, 1), "w4": (2, 3, 1, 1)}
    rng = np.random.default_rng(1)
    arrays = {n: rng.standard_normal(shape).astype(np.float32) for n, shape in shapes.items()}
    channels = analyze(normalize(load(proto_of(text, arrays))))
    with pytest.raises(PlanError, match=r"leaves nothing on axis 1 of '[pw]2?'; keep one"):
        removed_units(channels, PrunePlan("", {"w1": {0: (2, 3)}}))
