"""Scores before they are made probabilities."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.graph.logits import Ending, ends_in, without_ending
from onnxtrim.graph.runtime import Runner

X = np.array([[1, -2, 0.5], [0, 3, 3]], np.float32)


def net(tail: str, outputs: str = "float[N, 3] y") -> ir.Model:
    """Returns z = 2 x, and what a tail makes of it."""
    text = f"""
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 3] x) => ({outputs}) <float two = {{2}}> {{ z = Mul (x, two) {tail} }}
    """
    return ir.from_proto(onnx.parser.parse_model(text))


@pytest.mark.parametrize(
    ("made", "ending"),
    [
        ("Softmax <axis = 1>", "softmax"),
        ("LogSoftmax <axis = 1>", "softmax"),
        ("Sigmoid", "sigmoid"),
    ],
)
def test_the_output_is_the_scores_under_the_name_of_the_probabilities(
    made: str, ending: Ending
) -> None:
    model = net(f"y = {made} (z)")
    other: Ending = "sigmoid" if ending == "softmax" else "softmax"
    assert ends_in(model, "y", ending)
    assert not ends_in(model, "y", other)
    cut = without_ending(model, ["y"], ending)
    assert not ends_in(cut, "y", ending)
    np.testing.assert_array_equal(Runner(cut)({"x": X})["y"], 2 * X)
    assert not np.array_equal(Runner(model)({"x": X})["y"], 2 * X), "the original was changed"


@pytest.mark.parametrize(
    "tail",
    ["y = Relu (z)", "p = Softmax (z) y = Relu (p)"],
    ids=["no softmax", "softmax inside"],
)
def test_where_it_is_not_the_end_nothing_changes(tail: str) -> None:
    model = net(tail)
    assert not ends_in(model, "y", "softmax")
    wanted = Runner(model)({"x": X})["y"]
    cut = without_ending(model, ["y"], "softmax")
    np.testing.assert_array_equal(Runner(cut)({"x": X})["y"], wanted)


def test_probabilities_that_are_read_elsewhere_stay() -> None:
    model = net("y = Softmax (z) w = Relu (y)", "float[N, 3] y, float[N, 3] w")
    assert not ends_in(model, "y", "softmax")
    outputs = Runner(without_ending(model, ["y"], "softmax"))({"x": X})
    np.testing.assert_allclose(outputs["y"].sum(axis=1), [1, 1], rtol=1e-5)


def test_of_several_outputs_the_named_ones_change() -> None:
    model = net("y = Sigmoid (z) n = Neg (z) w = Sigmoid (n)", "float[N, 3] y, float[N, 3] w")
    outputs = Runner(without_ending(model, ["w"], "sigmoid"))({"x": X})
    np.testing.assert_array_equal(outputs["w"], -2 * X)
    np.testing.assert_allclose(outputs["y"], 1 / (1 + np.exp(-2 * X)), rtol=1e-5)


def test_scores_of_two_outputs_are_left_alone() -> None:
    model = net("y = Sigmoid (z) w = Sigmoid (z)", "float[N, 3] y, float[N, 3] w")
    outputs = Runner(without_ending(model, ["y", "w"], "sigmoid"))({"x": X})
    assert list(outputs) == ["y", "w"]
    np.testing.assert_array_equal(outputs["y"], 2 * X)
    np.testing.assert_allclose(outputs["w"], 1 / (1 + np.exp(-2 * X)), rtol=1e-5)
