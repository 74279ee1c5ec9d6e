"""What is refused before the work begins, one line each."""

from typing import Any, get_args

import numpy as np
import pytest
from oracle import proto_of

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.checks import (
    require_curves,
    require_data,
    require_groups,
    require_lessons,
    require_provable,
    restricted,
)
from onnxtrim.config import CriterionName, DataConfig, PruneConfig
from onnxtrim.criteria import CRITERIA
from onnxtrim.errors import BudgetError, ModelError, UsageError
from onnxtrim.graph import load, normalize
from onnxtrim.subject import prepare

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
  [one] a = Gemm(x, w1)
  [r1] b = Relu(a)
  [two] c = Gemm(b, w2)
  [r2] d = Relu(c)
  [last] y = Gemm(d, w3)
}"""
SHAPES = {"w1": (3, 8), "w2": (8, 6), "w3": (6, 2)}


def channel_map(text: str = TEXT, **shapes: tuple[int, ...]) -> ChannelMap:
    weights = {n: np.ones(s, np.float32) for n, s in (shapes or SHAPES).items()}
    return analyze(normalize(load(proto_of(text, weights))))


class TestData:
    """`require_data`: called where there are none."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"criterion": "l1"},
                "no budget: give --macs, --params, --size, --latency or --ratio, such as --macs "
                "0.5; or --data, for as thin as a drop of 0.01 allows",
            ),
            (
                {"criterion": "auto", "macs": 0.5},
                "--criterion auto runs the model on samples; give --data",
            ),
            (
                {"criterion": "l1", "macs": 0.5, "allocate": "sensitivity"},
                "--allocate sensitivity runs the model on samples; give --data",
            ),
            (
                {"criterion": "l1", "max_drop": 0.1},
                "--max-drop runs the model on samples; give --data",
            ),
            ({"macs": 0.5}, "--criterion reconstruction measures activations; give --data"),
            (
                {"macs": 0.5, "criterion": "apoz"},
                "--criterion apoz measures activations; give --data",
            ),
            (
                {"below_std": 1.0, "criterion": "mean"},
                "--criterion mean measures activations; give --data",
            ),
        ],
    )
    def test_what_takes_data_says_so(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError) as caught:
            require_data(PruneConfig(**options))
        assert str(caught.value) == message

    @pytest.mark.parametrize("criterion", get_args(CriterionName))
    def test_a_criterion_does_if_it_looks_at_activations(self, criterion: CriterionName) -> None:
        weights = {"aaws", "bn-scale", "fpgm", "l1", "l2", "random", "taylor"}
        config = PruneConfig(macs=0.5, criterion=criterion)
        if criterion in weights:  # of gradients there is more to say, elsewhere
            require_data(config)
            return
        with pytest.raises(UsageError, match=rf"^--criterion {criterion} measures activations"):
            require_data(config)

    @pytest.mark.parametrize(
        "budget",
        [{"ratio": 0.0}, {"macs": 0.5}, {"params": "1k"}, {"size": 0.5}, {"latency": "1ms"},
         {"below_std": 1.0}],
    )  # fmt: skip
    def test_weights_and_a_budget_do_without(self, budget: dict[str, Any]) -> None:
        require_data(PruneConfig(criterion="l2", **budget))


class TestLessons:
    """`require_lessons`."""

    def test_tuning_takes_samples_of_either_kind(self) -> None:
        config = PruneConfig(finetune=True)
        require_lessons(config, data=True, train_data=False)
        require_lessons(config, data=False, train_data=True)
        with pytest.raises(UsageError) as caught:
            require_lessons(config, data=False, train_data=False)
        assert str(caught.value) == ("--finetune learns from samples; give --train-data, or --data")

    def test_samples_to_learn_from_take_tuning(self) -> None:
        require_lessons(PruneConfig(), data=False, train_data=False)
        with pytest.raises(UsageError) as caught:
            require_lessons(PruneConfig(), data=True, train_data=True)
        assert str(caught.value) == "--train-data is what is learned from; give --finetune, too"


class TestCurves:
    """`require_curves`."""

    @pytest.mark.parametrize("criterion", ["l1", "mean", "random"])
    def test_the_criterion_is_the_one_that_is_named(self, criterion: CriterionName) -> None:
        assert require_curves(PruneConfig(criterion=criterion), 1) is CRITERIA[criterion]

    @pytest.mark.parametrize("points", [0, -1])
    def test_no_points_are_no_curve(self, points: int) -> None:
        with pytest.raises(UsageError) as caught:
            require_curves(PruneConfig(), points)
        assert str(caught.value) == f"--points {points}: at least 1 is needed"

    def test_auto_names_none(self) -> None:
        with pytest.raises(UsageError, match=r"^--criterion auto .* name a criterion here$"):
            require_curves(PruneConfig(criterion="auto"), 5)


class TestProvable:
    """`require_provable`."""

    @pytest.mark.parametrize(("opset", "provable"), [(6, False), (7, True), (17, True)])
    def test_operators_too_old_for_the_runtime(self, opset: int, provable: bool) -> None:
        text = f"""<ir_version: 3, opset_import: ["": {opset}]>
        g (float[1, 3, 4, 4] x) => (float[1, 2, 4, 4] y) {{
          h = Conv(x, w1) r = Relu(h) y = Conv(r, w2)
        }}"""
        shapes = {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)}
        weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        subject = prepare(proto_of(text, weights), None, DataConfig())
        if provable:
            require_provable(subject)
            return
        with pytest.raises(ModelError) as caught:
            require_provable(subject)
        assert str(caught.value) == (
            "model: operator set 6 is older than 7; convert the model by "
            "onnx.version_converter first"
        )


class TestGroups:
    """`require_groups`."""

    def test_one_is_enough(self) -> None:
        require_groups(channel_map().restricted(("one",), ()))

    def test_a_reason_of_ones_own_says_more_than_that_outputs_stay(self) -> None:
        with pytest.raises(BudgetError) as caught:
            require_groups(channel_map().restricted((), ("*",)))
        assert str(caught.value) == (
            "nothing can be cut: excluded: --exclude keeps one whole, ...; inspect gives every "
            "reason"
        )

    def test_outputs_stay(self) -> None:
        only = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
          [only] y = Gemm(x, w)
        }"""
        with pytest.raises(BudgetError, match=r"^nothing can be cut: graph output: y is an output"):
            require_groups(channel_map(only, w=(3, 2)))

    def test_no_weight_makes_channels(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) {
          y = Relu(x)
        }"""
        with pytest.raises(BudgetError, match=r"^nothing can be cut: no weight makes channels; "):
            require_groups(analyze(normalize(load(proto_of(text)))))


class TestRestricted:
    """`restricted`: globs that keep groups whole."""

    @pytest.mark.parametrize(
        ("options", "free"),
        [
            ({}, ["one", "two"]),
            ({"include": ("one",)}, ["one"]),
            ({"include": ("t*",)}, ["two"]),
            ({"include": ("w1",)}, ["one"]),  # the weight that makes it
            ({"exclude": ("one",)}, ["two"]),
            ({"include": ("*",), "exclude": ("two",)}, ["one"]),
            ({"exclude": ("last",)}, ["one", "two"]),  # it is frozen anyway
        ],
    )
    def test_by_name(self, options: dict[str, Any], free: list[str]) -> None:
        found = restricted(channel_map(), PruneConfig(**options))
        assert [group.name for group in found.groups] == free
        assert len(found.groups) + len(found.frozen_groups) == 3

    @pytest.mark.parametrize("option", ["include", "exclude"])
    def test_a_glob_that_matches_nothing(self, option: str) -> None:
        with pytest.raises(UsageError) as caught:
            restricted(channel_map(), PruneConfig(**{option: ("one", "three")}))  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"--{option} three: matches no group; inspect lists their names and tensors"
        )
