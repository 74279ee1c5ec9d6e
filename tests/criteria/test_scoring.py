"""All groups scored at once: what stands in where a criterion means nothing, and what is said."""

import numpy as np
import pytest
from oracle import Arrays
from views import STREAM, STREAM_WEIGHTS, analysed, floats, measured, observed

from onnxtrim.calibration import Measurements
from onnxtrim.config import CriterionName, Reduction
from onnxtrim.criteria import CRITERIA, Scoring, score_groups
from onnxtrim.errors import ModelError, UsageError

PAIR = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) {
  [one] a = Gemm(x, w1)
  [act1] ra = FIRST(a)
  [two] b = Gemm(ra, w2)
  [act2] rb = SECOND(b)
  [last] y = Gemm(rb, w3)
}"""
W1 = np.array([[1, -2, 3], [4, 0, -8]], np.float32)  # L1 of its units: 5, 2, 11
W2 = np.array([[1, 0], [1, 2], [1, 0]], np.float32)  # L1 of its units: 3, 2
WEIGHTS: Arrays = {"w1": W1, "w2": W2, "w3": np.ones((2, 1), np.float32)}
ZEROS = measured({"ra": {"zeros": [0.5, 0.25, 0.0]}, "rb": {"zeros": [1.0, 0.5]}})


def scored(
    criterion: CriterionName,
    found: Measurements | None,
    text: str,
    weights: Arrays = WEIGHTS,
    reduction: Reduction = "mean",
) -> Scoring:
    model, channel_map = analysed(text, weights)
    return score_groups(model, channel_map, CRITERIA[criterion], found, reduction=reduction)


def pair(first: str = "Relu", second: str = "Relu") -> str:
    return PAIR.replace("FIRST", first).replace("SECOND", second)


def test_every_group_is_scored_and_nothing_needs_saying() -> None:
    scoring = scored("apoz", ZEROS, pair())
    assert {name: row.tolist() for name, row in scoring.scores.items()} == {
        "one": [0.5, 0.75, 1.0],
        "two": [0.0, 0.5],
    }
    assert scoring.warnings == ()
    assert scoring.stand_ins == ()


class TestReduction:
    """One row of those of several members."""

    @pytest.mark.parametrize(
        ("reduction", "expected"),
        [
            # stem: 3, 7, 0; back1: 5, 0, 10; back2: 5, 5, 5
            ("first", [3, 7, 0]),
            ("max", [5, 7, 10]),
            ("mean", [13 / 3, 12 / 3, 15 / 3]),
            ("sum", [13, 12, 15]),
        ],
    )
    def test_writers_of_a_residual_stream(
        self, reduction: Reduction, expected: list[float]
    ) -> None:
        scoring = scored("l1", None, STREAM, STREAM_WEIGHTS, reduction)
        assert scoring.scores["stem"] == pytest.approx(expected, rel=1e-15)

    def test_readers_of_a_residual_stream(self) -> None:
        found = measured(
            {
                tensor: {"square": row}
                for tensor, row in {
                    "r0": [1.0, 4.0, 0.0], "r1": [9.0, 0.0, 0.25], "f": [4.0, 1.0, 1.0],
                    "b1": [1.0] * 5, "b2": [1.0] * 5,
                }.items()
            }
        )  # fmt: skip
        # 5, 10, 0; 15, 0, 2.5; 2 outputs by weights of 1: 4, 2, 2
        scoring = scored("weight-activation", found, STREAM, STREAM_WEIGHTS, "max")
        assert scoring.scores["stem"].tolist() == [15, 10, 2.5]

    def test_a_stand_in_is_reduced_too(self) -> None:
        scoring = scored("bn-scale", None, STREAM, STREAM_WEIGHTS, "sum")
        assert scoring.scores["stem"].tolist() == [13, 12, 15]


class TestStandIn:
    """L1 ranks a group in which the criterion means nothing."""

    @pytest.mark.parametrize("act", ["Tanh", "Sigmoid", "LeakyRelu", "Identity", "Elu"])
    def test_apoz_without_a_relu(self, act: str) -> None:
        scoring = scored("apoz", ZEROS, pair(first=act))
        assert scoring.scores["one"].tolist() == [5.0, 2.0, 11.0]
        assert scoring.scores["two"].tolist() == [0.0, 0.5]
        assert scoring.stand_ins == ("one",)
        assert scoring.warnings == (
            "one: apoz means nothing here (no Relu makes its zeros); ranked by l1 instead",
        )

    def test_a_clip_from_zero_is_as_good_as_a_relu(self) -> None:
        scoring = scored("apoz", ZEROS, *clipped(0, 6))
        assert scoring.warnings == ()
        assert scoring.scores["one"].tolist() == [0.5, 0.75, 1.0]

    def test_a_clip_from_below_zero_is_not(self) -> None:
        scoring = scored("apoz", ZEROS, *clipped(-1, 1))
        assert scoring.scores["one"].tolist() == [5.0, 2.0, 11.0]
        assert scoring.stand_ins == ("one",)

    def test_other_criteria_need_no_relu(self) -> None:
        found = measured({"ra": {"mean": [0.5, -2, 0]}, "rb": {"mean": [1, 2]}})
        scoring = scored("mean", found, pair("Tanh", "Sigmoid"))
        assert scoring.scores["one"].tolist() == [0.5, 2.0, 0.0]
        assert scoring.warnings == ()
        assert scored("l1", None, pair("Tanh", "Sigmoid")).warnings == ()

    def test_a_stream_with_one_tap_that_is_no_relu_falls_back_as_a_whole(self) -> None:
        text = STREAM.replace("[relu1] r1 = Relu(s1)", "[relu1] r1 = Tanh(s1)")
        found = measured({"b1": {"zeros": [0.5, 0.25, 0, 0, 1]}, "b2": {"zeros": [1, 0, 0, 0, 0]}})
        scoring = scored("apoz", found, text, STREAM_WEIGHTS)
        assert scoring.scores["stem"] == pytest.approx([13 / 3, 4.0, 5.0], rel=1e-15)
        assert scoring.scores["out1"].tolist() == [0.5, 0.75, 1.0, 1.0, 0.0]
        assert scoring.stand_ins == ("stem",)

    def test_scales_without_a_normalisation(self) -> None:
        scoring = scored("bn-scale", None, pair())
        assert scoring.scores["one"].tolist() == [5.0, 2.0, 11.0]
        assert scoring.stand_ins == ("one", "two")
        assert scoring.warnings[0] == (
            "one: bn-scale means nothing here (no batch normalisation scales it); "
            "ranked by l1 instead"
        )

    @pytest.mark.parametrize("name", ["reconstruction", "weight-activation"])
    def test_inputs_of_readers_that_do_not_exist(self, name: CriterionName) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) {
          [a] h = MatMul(x, w)
          zero = Constant <value_ints=[0]> ()
          one = Constant <value_ints=[1]> ()
          s = Slice(h, zero, one, one)
          [b] y = MatMul(s, v)
        }"""
        weights: Arrays = {"w": W1, "v": np.ones((1, 1), np.float32)}
        found = observed(*analysed(text, weights), floats(5, 2))
        scoring = scored(name, found, text, weights)
        assert scoring.scores["a#2"].tolist() == [2.0, 11.0]  # channels 1 and 2, sliced away
        assert scoring.stand_ins == ("a#2",)
        assert scoring.warnings == (
            f"a#2: {name} means nothing here (no weight reads it); ranked by l1 instead",
        )


class TestEqualScores:
    """An order that is arbitrary is said to be."""

    def test_by_the_criterion(self) -> None:
        found = measured({"ra": {"zeros": [0.5, 0.5, 0.5]}, "rb": {"zeros": [1.0, 0.5]}})
        assert scored("apoz", found, pair()).warnings == (
            "one: all units have the same apoz; their order is arbitrary",
        )

    def test_by_a_criterion_on_weights(self) -> None:
        weights = WEIGHTS | {"w2": np.ones((3, 2), np.float32)}
        assert scored("l1", None, pair(), weights).warnings == (
            "two: all units have the same l1; their order is arbitrary",
        )

    def test_by_the_stand_in(self) -> None:
        weights = WEIGHTS | {"w1": np.ones((2, 3), np.float32)}
        scoring = scored("apoz", ZEROS, pair(first="Tanh"), weights)
        assert scoring.warnings[1:] == (
            "one: all units have the same l1; their order is arbitrary",
        )

    def test_a_group_of_one_unit_has_no_order(self) -> None:
        weights = {"w1": floats(2, 1), "w2": floats(1, 2), "w3": floats(2, 1)}
        found = measured({"ra": {"zeros": [0.5]}, "rb": {"zeros": [1.0, 0.5]}})
        assert scored("apoz", found, pair(), weights).warnings == ()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(broken: float) -> None:
    w2 = W2.copy()
    w2[0, 1] = broken
    with pytest.raises(ModelError, match=r"^two: its l1 scores are not finite; its weights hold"):
        scored("l1", None, pair(), WEIGHTS | {"w2": w2})


def test_a_criterion_that_cannot_score_says_so() -> None:
    with pytest.raises(UsageError, match="--criterion taylor takes gradients"):
        scored("taylor", None, pair())


def test_groups_that_stay_whole_are_not_scored() -> None:
    model, channel_map = analysed(pair(), WEIGHTS)
    found = measured({"rb": {"zeros": [1.0, 0.5]}})
    held = channel_map.restricted((), ("one",))
    assert list(score_groups(model, held, CRITERIA["apoz"], found).scores) == ["two"]


def test_the_seed_reaches_the_criterion() -> None:
    model, channel_map = analysed(pair(), WEIGHTS)
    rows = [
        score_groups(model, channel_map, CRITERIA["random"], None, seed=seed).scores["one"].tolist()
        for seed in (1, 1, 2)
    ]
    assert rows[0] == rows[1] != rows[2]


def clipped(low: float, high: float) -> tuple[str, Arrays]:
    """Returns the pair with a Clip between those bounds for its first activation."""
    text = PAIR.replace("FIRST(a)", "Clip(a, low, high)").replace("SECOND", "Relu")
    return text, WEIGHTS | {"low": np.array(low, np.float32), "high": np.array(high, np.float32)}
