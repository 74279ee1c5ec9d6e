"""Scores before they are made probabilities."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.graph.logits import ends_in_softmax, without_softmax
from onnxtrim.graph.runtime import Runner

X = np.array([[1, -2, 0.5], [0, 3, 3]], np.float32)


def net(tail: str, outputs: str = "float[N, 3] y") -> ir.Model:
    """Returns z = 2 x, and what a tail makes of it."""
    text = f"""
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 3] x) => ({outputs}) <float two = {{2}}> {{ z = Mul (x, two) {tail} }}
    """
    return ir.from_proto(onnx.parser.parse_model(text))


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_the_output_is_the_scores_under_the_name_of_the_probabilities(operator: str) -> None:
    model = net(f"y = {operator} <axis = 1> (z)")
    assert ends_in_softmax(model)
    cut = without_softmax(model)
    assert not ends_in_softmax(cut)
    np.testing.assert_array_equal(Runner(cut)({"x": X})["y"], 2 * X)
    assert not np.array_equal(Runner(model)({"x": X})["y"], 2 * X), "the original was changed"


@pytest.mark.parametrize(
    "tail",
    ["y = Relu (z)", "p = Softmax (z) y = Relu (p)"],
    ids=["no softmax", "softmax inside"],
)
def test_where_it_is_not_the_end_nothing_changes(tail: str) -> None:
    model = net(tail)
    assert not ends_in_softmax(model)
    wanted = Runner(model)({"x": X})["y"]
    np.testing.assert_array_equal(Runner(without_softmax(model))({"x": X})["y"], wanted)


def test_probabilities_that_are_read_elsewhere_stay() -> None:
    model = net("y = Softmax (z) w = Relu (y)", "float[N, 3] y, float[N, 3] w")
    assert not ends_in_softmax(model)
    outputs = Runner(without_softmax(model))({"x": X})
    np.testing.assert_allclose(outputs["y"].sum(axis=1), [1, 1], rtol=1e-6)
