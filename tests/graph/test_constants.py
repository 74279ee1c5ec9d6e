"""Typed readers of attributes, constants, names and versions."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import proto_of

from onnxtrim.graph import load
from onnxtrim.graph.constants import (
    constant,
    constant_ints,
    float_attr,
    int_attr,
    ints_attr,
    node_label,
    opset_of,
    string_attr,
)

MODEL = load(
    proto_of(
        """<ir_version: 8, opset_import: ["": 17, "my": 3]> g (float[2,2,5,5] x) => (float[2,2] y) {
            [named] a = my.Thing <i = 4, f = 0.5, l = [1, 2], s = "text"> (x, axes)
            y, z = my.Thing (a, bias)
        }""",
        {
            "axes": np.array([[3, -1]], dtype=np.int32),
            "bias": np.array([1.5], np.float32),
            "flag": np.array(True),
            "one": np.array(7, dtype=np.uint8),
        },
    )
)
NAMED, UNNAMED = MODEL.graph


def initializer(name: str) -> ir.Value:
    return MODEL.graph.initializers[name]


def test_attributes_are_read_by_type_and_have_defaults() -> None:
    assert (int_attr(NAMED, "i", 1), int_attr(NAMED, "j", 1)) == (4, 1)
    assert (float_attr(NAMED, "f", 1.0), float_attr(NAMED, "g", 1.0)) == (0.5, 1.0)
    assert (string_attr(NAMED, "s", "d"), string_attr(NAMED, "t", "d")) == ("text", "d")
    assert (ints_attr(NAMED, "l"), ints_attr(NAMED, "m")) == ((1, 2), None)


@pytest.mark.parametrize("read", [int_attr, float_attr, string_attr])
def test_an_attribute_of_another_type_is_refused(read: object) -> None:
    with pytest.raises(TypeError):
        read(NAMED, "l", 1)  # type: ignore[operator]


def test_a_constant_is_the_array_of_an_initializer() -> None:
    array = constant(initializer("bias"))
    assert array is not None
    assert array.dtype == np.float32
    assert array.tolist() == [1.5]


@pytest.mark.parametrize("value", [None, MODEL.graph.inputs[0], NAMED.outputs[0]])
def test_what_is_left_out_fed_or_computed_is_no_constant(value: ir.Value | None) -> None:
    assert constant(value) is None
    assert constant_ints(value) is None


def test_integers_come_flat_and_of_any_width() -> None:
    assert constant_ints(initializer("axes")) == (3, -1)
    assert constant_ints(initializer("one")) == (7,)


@pytest.mark.parametrize("name", ["bias", "flag"])
def test_what_holds_no_integers_is_none(name: str) -> None:
    assert constant_ints(initializer(name)) is None


def test_a_node_without_name_is_called_by_operator_and_first_output() -> None:
    assert [node_label(node) for node in (NAMED, UNNAMED)] == ["named", "Thing(y)"]
    assert node_label(ir.Node("my", "Sink", [], num_outputs=0)) == "Sink()"
    skipped = ir.Node("", "Op", [], outputs=[ir.Value(name=""), ir.Value(name="second")])
    assert node_label(skipped) == "Op(second)"


def test_the_version_is_that_of_the_domain() -> None:
    assert opset_of(MODEL, NAMED) == 3
    assert opset_of(MODEL, ir.Node("", "Relu", [])) == 17
    assert opset_of(MODEL, ir.Node("unknown", "Op", [])) == 1
