"""All groups scored at once: what stands in where APoZ means nothing, and what is said of it."""

import numpy as np
import pytest
from oracle import Arrays, proto_of
from views import STREAM, STREAM_WEIGHTS, floats, measured

from onnxtrim.calibration import Measurements
from onnxtrim.channels import analyze
from onnxtrim.config import CriterionName
from onnxtrim.criteria import CRITERIA, Scoring, score_groups
from onnxtrim.graph import load, normalize

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


def scored(
    criterion: CriterionName, first: str, second: str, found: Measurements | None
) -> Scoring:
    text = PAIR.replace("FIRST", first).replace("SECOND", second)
    model = normalize(load(proto_of(text, WEIGHTS)))
    return score_groups(model, analyze(model), CRITERIA[criterion], found, seed=0)


ZEROS = measured({"ra": {"zeros": [0.5, 0.25, 0.0]}, "rb": {"zeros": [1.0, 0.5]}})


def test_every_group_is_scored_and_nothing_needs_saying() -> None:
    scoring = scored("apoz", "Relu", "Relu", ZEROS)
    assert {name: row.tolist() for name, row in scoring.scores.items()} == {
        "one": [0.5, 0.75, 1.0],
        "two": [0.0, 0.5],
    }
    assert scoring.warnings == ()


@pytest.mark.parametrize("act", ["Tanh", "Sigmoid", "LeakyRelu", "Identity", "Elu"])
def test_without_a_relu_l1_stands_in_and_a_warning_says_so(act: str) -> None:
    scoring = scored("apoz", act, "Relu", ZEROS)
    assert scoring.scores["one"].tolist() == [5.0, 2.0, 11.0]
    assert scoring.scores["two"].tolist() == [0.0, 0.5]
    (warning,) = scoring.warnings
    assert warning.startswith("one: apoz ")
    assert "without a Relu" in warning
    assert "ranked by l1" in warning


def test_a_clip_from_zero_is_as_good_as_a_relu() -> None:
    text = PAIR.replace("FIRST(a)", "Clip(a, low, high)").replace("SECOND", "Relu")
    bounds = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    model = normalize(load(proto_of(text, WEIGHTS | bounds)))
    scoring = score_groups(model, analyze(model), CRITERIA["apoz"], ZEROS, seed=0)
    assert scoring.warnings == ()
    assert scoring.scores["one"].tolist() == [0.5, 0.75, 1.0]


def test_a_clip_from_below_zero_is_not() -> None:
    text = PAIR.replace("FIRST(a)", "Clip(a, low, high)").replace("SECOND", "Relu")
    bounds = {"low": np.array(-1, np.float32), "high": np.array(1, np.float32)}
    model = normalize(load(proto_of(text, WEIGHTS | bounds)))
    scoring = score_groups(model, analyze(model), CRITERIA["apoz"], ZEROS, seed=0)
    assert scoring.scores["one"].tolist() == [5.0, 2.0, 11.0]
    assert len(scoring.warnings) == 1


def test_other_criteria_need_no_relu() -> None:
    found = measured({"ra": {"mean": [0.5, -2, 0]}, "rb": {"mean": [1, 2]}})
    scoring = scored("mean", "Tanh", "Sigmoid", found)
    assert scoring.scores["one"].tolist() == [0.5, 2.0, 0.0]
    assert scoring.warnings == ()
    assert scored("l1", "Tanh", "Sigmoid", None).warnings == ()


def test_a_stream_with_one_tap_that_is_no_relu_falls_back_as_a_whole() -> None:
    text = STREAM.replace("[relu1] r1 = Relu(s1)", "[relu1] r1 = Tanh(s1)")
    model = normalize(load(proto_of(text, STREAM_WEIGHTS)))
    zeros = {
        f"{kind}{i}": {"zeros": [0.5, 0.25, 0.0] + [0.0, 1.0] * (kind == "b")}
        for kind in "rb"
        for i in range(3)
    }
    scoring = score_groups(model, analyze(model), CRITERIA["apoz"], measured(zeros), seed=0)  # type: ignore[arg-type]
    assert scoring.scores["stem"] == pytest.approx([13 / 3, 4.0, 5.0], abs=1e-12)
    assert scoring.scores["out1"].tolist() == [0.5, 0.75, 1.0, 1.0, 0.0]
    assert [w.partition(":")[0] for w in scoring.warnings] == ["stem"]


def test_equal_scores_are_said_to_be_arbitrary() -> None:
    found = measured({"ra": {"zeros": [0.5, 0.5, 0.5]}, "rb": {"zeros": [1.0, 0.5]}})
    scoring = scored("apoz", "Relu", "Relu", found)
    (warning,) = scoring.warnings
    assert warning.startswith("one: ")
    assert "same apoz" in warning
    assert "arbitrary" in warning


def test_a_group_of_one_unit_has_no_order_to_warn_of() -> None:
    text = PAIR.replace("FIRST", "Relu").replace("SECOND", "Relu")
    weights = {"w1": floats(2, 1), "w2": floats(1, 2), "w3": floats(2, 1)}
    model = normalize(load(proto_of(text, weights)))
    found = measured({"ra": {"zeros": [0.5]}, "rb": {"zeros": [1.0, 0.5]}})
    scoring = score_groups(model, analyze(model), CRITERIA["apoz"], found, seed=0)
    assert scoring.warnings == ()


def test_groups_that_stay_whole_are_not_scored() -> None:
    model = normalize(
        load(proto_of(PAIR.replace("FIRST", "Relu").replace("SECOND", "Relu"), WEIGHTS))
    )
    channel_map = analyze(model).restricted((), ("one",))
    found = measured({"rb": {"zeros": [1.0, 0.5]}})
    scoring = score_groups(model, channel_map, CRITERIA["apoz"], found, seed=0)
    assert list(scoring.scores) == ["two"]
