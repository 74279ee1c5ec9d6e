"""Models in another version of the operator set."""

import numpy as np
import pytest
from oracle import proto_of, run

from onnxtrim.errors import ModelError
from onnxtrim.graph import load, normalize
from onnxtrim.graph.opset import raised, relabelled


@pytest.mark.parametrize("size", [5, 40])
def test_a_raised_model_computes_the_same_with_the_same_weights(size: int) -> None:
    text = """
    <ir_version: 4, opset_import: ["": 9]>
    g (float[3,5] x) => (float[3,S] y) { t = MatMul (x, w)  y = Clip <min = -0.5, max = 0.5> (t) }
    """
    weight = np.random.default_rng(0).normal(size=(5, size)).astype(np.float32)
    model = normalize(load(proto_of(text, {"w": weight})))
    found = raised(model, 18)
    assert found.opset_imports[""] == 18
    assert [v.name for v in found.graph.inputs] == ["x"]
    assert found.graph.initializers["w"].const_value is not None
    np.testing.assert_array_equal(found.graph.initializers["w"].const_value.numpy(), weight)
    x = {"x": np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)}
    np.testing.assert_array_equal(run(found, x)["y"], run(model, x)["y"])


def test_an_operator_that_cannot_be_converted_is_an_error_in_one_sentence() -> None:
    text = """
    <ir_version: 4, opset_import: ["": 8]>
    g (float[3,5] x) => (float[3,5] y) { y = NoSuchOperator (x) }
    """
    with pytest.raises(ModelError, match=r"cannot be converted to opset 18 .*NoSuchOperator") as e:
        raised(load(proto_of(text)), 18)
    assert "\n" not in str(e.value)


def test_a_relabelled_model_says_another_version_and_the_original_does_not() -> None:
    text = (
        '<ir_version: 10, opset_import: ["": 23]> g (float[3] x) => (float[3] y) { y = Relu (x) }'
    )
    model = load(proto_of(text))
    assert relabelled(model, 21).opset_imports[""] == 21
    assert relabelled(model, 21).graph.opset_imports[""] == 21
    assert model.opset_imports[""] == 23
