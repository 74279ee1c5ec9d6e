"""Student -> twin: what is trained, what is not and why, and the proof of equality."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from finetune.twin.checking import (
    Gradients,
    assert_gradients,
    assert_twin,
    behind_conv,
    inputs_of,
)
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.study import with_weights
from onnxtrim.finetune.twin import Untrained, check_twin, twin_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant

ASSETS = Path(os.environ.get("ONNXTRIM_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(("opset", "twins"), [(7, 18), (13, 18), (18, 18), (20, 20), (24, 21)])
def test_the_operator_set_is_one_that_the_runtime_knows(opset: int, twins: int) -> None:
    twin = assert_twin(behind_conv("y = Relu (t)", opset))
    assert twin.model.opset_imports[""] == twin.learner.opset_imports[""] == twins
    assert (twin.learner.ir_version or 0) <= 10


def test_the_student_is_not_changed() -> None:
    student = behind_conv("y = HardSwish (t)", 14)
    before = ir.to_proto(student).SerializeToString(deterministic=True)
    twin_of(student)
    assert ir.to_proto(student).SerializeToString(deterministic=True) == before


def test_statistics_are_named_and_not_trained() -> None:
    vectors = {name: ones(4) for name in ("s", "b", "m", "v")}
    twin = assert_twin(behind_conv("y = BatchNormalization (t, s, b, m, v)", **vectors))
    assert set(twin.trainable) == {"w", "s", "b"}
    assert twin.statistics == ("m", "v")


def test_what_lies_before_an_operator_without_gradient_is_not_trained_and_it_is_named() -> None:
    student = behind_conv("u = LRN <size = 3> (t)  y = Conv (u, k)", k=ones(2, 4, 1, 1))
    twin = assert_twin(student)
    assert twin.trainable == ("k",)
    sentence = (
        "the training runtime has no gradient for LRN; with --teacher, what lies before it learns "
        "from the teacher's activations"
    )
    assert twin.untrained == (Untrained("w", "LRN(u)", "LRN", sentence),)


def test_a_second_way_around_it_is_none_for_its_gradient_would_be_wrong() -> None:
    body = "u = LRN <size = 3> (t)  v = Add (u, t)  y = Conv (v, k)"
    assert twin_of(behind_conv(body, k=ones(2, 4, 1, 1))).trainable == ("k",)


def test_what_only_decides_indices_and_sizes_is_in_nobodys_way() -> None:
    body = """
        n = Neg (t)
        c = Greater (t, n)
        s = Shape (t)
        u = Where (c, t, n)
        y = Reshape (u, s)
    """
    assert twin_of(behind_conv(body)).trainable == ("w",)


def test_every_node_has_a_name_of_its_own_or_the_runtime_makes_one_twice(
    gradients: Gradients,
) -> None:
    body = """
        a = Slice (t, zero, two, one)
        b = Slice (t, two, four, one)
        u = Mul (a, b)
        c = Slice (u, zero, one, one)
        d = Slice (u, one, two, one)
        y = Mul (c, d)
    """
    bounds = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}
    student = behind_conv(body, 13, four=np.array([4]), **bounds)
    for node in student.graph:
        node.name = ""
    assert_gradients(student, gradients, "w")
    names = [node.name for node in twin_of(student).learner.graph]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("body", "opset", "sentence"),
    [
        ("y = LRN <size = 3> (t)", 17, "w: the training runtime has no gradient for LRN"),
        ("u = ArgMax (t)  y = Cast <to = 1> (u)", 17, "nothing can be trained"),
        ("a = Neg (t)  y = CumProd (a, one)", 26, "does not know CumProd"),
    ],
)
def test_where_nothing_can_be_trained_one_sentence_says_so(
    body: str, opset: int, sentence: str
) -> None:
    operands = {"one": np.array(1)} if "one" in body else {}
    with pytest.raises(TrainingError, match=sentence) as caught:
        twin_of(behind_conv(body, opset, **operands))
    assert "\n" not in str(caught.value)


def test_a_model_without_weights_is_told_what_else_to_do() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N, 2] x) => (float[N, 2] y) { y = Softmax (x) }
    """
    with pytest.raises(TrainingError, match=r"nothing can be trained \(it has no weights of real"):
        twin_of(normalize(ir.from_onnx_text(text)))


def test_weights_come_back_in_the_types_of_the_student() -> None:
    student = with_weights(behind_conv("y = Relu (t)"), {"w": np.zeros((4, 3, 1, 1))})
    found = constant(student.graph.initializers["w"])
    assert found is not None
    assert found.dtype == np.float32


def test_a_twin_that_is_not_the_student_is_refused() -> None:
    student = behind_conv("y = Relu (t)")
    twin = twin_of(student)
    other = twin.model.clone()
    kernel = other.graph.initializers["w"]
    assert kernel.const_value is not None
    kernel.const_value = ir.Tensor(kernel.const_value.numpy() * np.float32(1.0001), name="w")
    assert check_twin(student, twin, inputs_of(student)) == 0
    with pytest.raises(TrainingError, match=r"output 'y': the twin .* differs by 1\.\de-04"):
        check_twin(student, replace(twin, model=other), inputs_of(student))


@pytest.mark.parametrize(
    ("name", "trained", "statistics"),
    [
        ("cifar10_resnet20_bn_kept", 19 + 2 * 19 + 2, 2 * 19),
        ("cifar10_resnet20_dynamo", 2 * 19 + 2, 0),
        ("espcn_x3_depth_to_space", 2 * 4, 0),
        ("face_slim_320", 2 * 49, 0),
        ("mlperftiny_autoencoder_ad01.tf2onnx", 10 + 19 + 9, 0),
        ("mnist-8_cntk", 3 + 3, 0),
    ],
)
def test_all_weights_of_a_real_model_are_trained(name: str, trained: int, statistics: int) -> None:
    path = ASSETS / "models" / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    twin = assert_twin(normalize(load(path)))
    assert (len(twin.trainable), len(twin.statistics)) == (trained, statistics)
    assert twin.untrained == ()
