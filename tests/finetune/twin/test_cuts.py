"""Where training is cut, and what the parts compute."""

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of, run, runtime_before

from finetune.twin.checking import (
    Gradients,
    assert_close,
    assert_twin,
    behind_conv,
    differences,
    inputs_of,
    student_of,
)
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import Cut, Twin, alike, check_twin, twin_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import with_outputs
from onnxtrim.graph.shapes import ranked

ASSETS = Path(os.environ.get("ONNXTRIM_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))
RNG = np.random.default_rng(5)


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


LSTM = """
<ir_version: 8, opset_import: ["": 13]>
net (float[2,3,6] x) => (float[2,2] y) {
    c = Conv (x, w)
    s = Transpose <perm = [2,0,1]> (c)
    [memory] states, last = LSTM <hidden_size = 5> (s, W, R)
    one = Squeeze (last, zero)
    y = Gemm (one, k)
}
"""
LSTM_WEIGHTS = {"w": drawn(4, 3, 1), "W": drawn(1, 20, 4), "R": drawn(1, 20, 5), "k": drawn(5, 2)}
OWN = """
<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
net (float[2,3,4,4] x) => (float[A,B,C,D] y) {
    t = Conv (x, w)
    [own] u = com.microsoft.Gelu (t)
    y = Conv (u, k)
}
"""


def lstm() -> ir.Model:
    return student_of(LSTM, **LSTM_WEIGHTS, zero=np.array([0]))


def own() -> ir.Model:
    student = student_of(OWN, w=drawn(4, 3, 1, 1), k=drawn(2, 4, 1, 1))
    return ranked(student, inputs_of(student))


def choosing() -> ir.Model:
    """Returns a student with an If, whose condition and branches depend on a weight."""
    return behind_conv(
        """
        m = ReduceMean <keepdims = 0> (t)
        c = Greater (m, limit)
        [choice] u = If (c) <
            then_branch = one () => (float[2,4,6,5] p) { p = Relu (t) },
            else_branch = two () => (float[2,4,6,5] q) { q = Neg (t) }
        >
        y = Conv (u, k)
        """,
        17,
        k=drawn(4, 4, 1, 1),
        limit=np.array(0, np.float32),
    )


def in_a_row() -> ir.Model:
    body = "[a] u = LRN <size = 3> (t)  v = Conv (u, k)  [b] y = LRN <size = 3> (v)"
    return behind_conv(body, k=drawn(4, 4, 1, 1))


def taught(student: ir.Model) -> Twin:
    """Returns the twin of a student whose teacher computes all that it does."""
    inputs = inputs_of(student)
    twin = twin_of(student, alike(student, student, inputs))
    check_twin(student, twin, inputs)
    return twin


def learned(twin: Twin, teacher: ir.Model, inputs: Arrays) -> Arrays:
    """Returns what the learner of a twin computes, fed what the teacher has at the cuts."""
    forced = run(with_outputs(teacher, twin.forced), inputs)
    fed = inputs | {name: forced[name] for name in twin.forced}
    if twin.prompter is not None:
        fed |= run(twin.prompter, fed)
    return run(twin.learner, {str(v.name): fed[str(v.name)] for v in twin.learner.graph.inputs})


@pytest.mark.parametrize(
    ("student", "cuts", "trained"),
    [
        (lstm(), [Cut("s", "memory", "LSTM")], {"w", "k"}),
        (own(), [Cut("t", "own", "Gelu")], {"w", "k"}),
        (choosing(), [Cut("t", "choice", "If")], {"w", "k"}),
        (in_a_row(), [Cut("t", "a", "LRN"), Cut("v", "b", "LRN")], {"w", "k"}),
    ],
    ids=["LSTM", "custom", "If", "two in a row"],
)
def test_both_sides_of_a_cut_are_trained_and_it_is_named(
    student: ir.Model, cuts: list[Cut], trained: set[str]
) -> None:
    twin = taught(student)
    assert list(twin.cuts) == cuts
    assert set(twin.trainable) == trained
    stops = {cut.operator for cut in cuts}
    assert stops.isdisjoint(node.op_type for node in twin.learner.graph)


@pytest.mark.parametrize("make", [lstm, own, choosing, in_a_row])
def test_with_itself_for_a_teacher_the_learner_computes_what_the_student_does(make: object) -> None:
    assert callable(make)
    student: ir.Model = make()
    twin, inputs = taught(student), inputs_of(student)
    found = learned(twin, student, inputs)
    wanted = run(with_outputs(student, twin.forced), inputs)
    assert found
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)


def test_what_lies_behind_a_cut_is_fed_what_the_teacher_has_there() -> None:
    student, teacher = lstm(), lstm()
    other = teacher.graph.initializers["w"]
    other.const_value = ir.Tensor(drawn(4, 3, 1), name="w")
    inputs = inputs_of(student)
    found = learned(taught(student), teacher, inputs)
    wanted = run(teacher, inputs)["y"]
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-4, atol=1e-5)
    own = run(with_outputs(student, ["s"]), inputs)
    assert np.abs(wanted - own["y"]).max() > 0.01
    np.testing.assert_allclose(found["s"], own["s"], rtol=1e-5)


def test_gradients_are_those_of_the_parts(gradients: Gradients) -> None:
    student = lstm()
    twin, inputs = taught(student), inputs_of(student)
    assert twin.prompter is not None
    forced = run(with_outputs(student, ["s"]), inputs)["s"]
    prompts = run(twin.prompter, inputs | {"s": forced})
    factors = {"y": drawn(2, 2), "s": drawn(6, 2, 4)}
    found = gradients(twin, inputs | prompts, factors)
    before = student_of(
        """
        <ir_version: 8, opset_import: ["": 13]>
        net (float[2,3,6] x) => (float[6,2,4] s)
        { c = Conv (x, w) s = Transpose <perm = [2,0,1]> (c) }
        """,
        w=LSTM_WEIGHTS["w"],
    )
    assert_close(found["w"], differences(before, ("w",), inputs, {"s": factors["s"]})["w"])
    assert_close(found["k"], differences(student, ("k",), inputs, {"y": factors["y"]})["k"])


def test_without_a_teacher_what_lies_before_stays_and_the_reason_says_what_to_do() -> None:
    twin = assert_twin(lstm())
    assert twin.trainable == ("k",)
    assert (twin.cuts, twin.forced) == ((), ())
    reasons = {one.weight: (one.node, one.reason) for one in twin.untrained}
    lacks = "the training runtime has no gradient for LSTM"
    assert reasons["w"][0] == "memory"
    assert reasons["w"][1].startswith(f"{lacks}; with --teacher, what lies before it learns")
    assert reasons["W"] == reasons["R"] == ("memory", lacks)


def test_where_the_teacher_has_more_channels_what_lies_before_stays() -> None:
    student = lstm()
    wide = {"w": drawn(6, 3, 1), "W": drawn(1, 20, 6)}
    teacher = student_of(LSTM, **(LSTM_WEIGHTS | wide), zero=np.array([0]))
    known = alike(student, teacher, inputs_of(student))
    assert known == {"last", "one", "y"}
    twin = twin_of(student, known)
    assert twin.trainable == ("k",)
    (reason,) = [one.reason for one in twin.untrained if one.weight == "w"]
    assert "the teacher has no 's' like it" in reason


def test_a_custom_operator_before_all_weights_is_in_nobodys_way() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
    net (float[2,3,4,4] x) => (float[A,B,C,D] y) { u = com.microsoft.Gelu (x)  y = Conv (u, w) }
    """
    student = student_of(text, w=drawn(4, 3, 1, 1))
    student = ranked(student, inputs_of(student))
    twin = twin_of(student)
    assert (twin.trainable, twin.cuts, twin.untrained) == (("w",), (), ())
    assert [v.name for v in twin.learner.graph.inputs] == ["u"]
    inputs = inputs_of(student)
    np.testing.assert_allclose(
        learned(twin, student, inputs)["y"], run(student, inputs)["y"], rtol=1e-5, atol=1e-6
    )


def test_an_operator_newer_than_the_runtime_is_a_cut_too() -> None:
    if runtime_before(1, 28):
        pytest.skip("this ONNX Runtime does not know opset 26")
    body = "u = CumProd (t, one)  y = Conv (u, k)"
    twin = taught(behind_conv(body, 26, one=np.array(1), k=drawn(2, 4, 1, 1)))
    assert (set(twin.trainable), [cut.operator for cut in twin.cuts]) == ({"w", "k"}, ["CumProd"])
    assert twin.learner.opset_imports[""] == 21


def test_where_no_output_can_be_learned_the_cut_is_all_there_is() -> None:
    twin = taught(behind_conv("[end] y = LRN <size = 3> (t)"))
    assert twin.trainable == ("w",)
    assert [value.name for value in twin.learner.graph.outputs] == ["t"]
    assert twin.prompter is None


def test_an_operator_without_gradient_that_no_real_output_needs_is_no_cut() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 17]>
    g (float[2,3,4,4] x) => (float[2,4,4,4] y, int64[2,1,4,4] best) {
        y = Conv (x, w)
        best = ArgMax <axis = 1> (y)
    }
    """
    student = student_of(text, w=drawn(4, 3, 1, 1))
    for twin in (twin_of(student), taught(student)):
        assert (twin.trainable, twin.cuts, twin.parted) == (("w",), (), False)


def test_a_weight_that_is_moved_into_the_operator_itself_is_no_cut() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 13]>
    net (float[6,2,4] x) => (float[1,2,5] y) {
        W = Transpose <perm = [0,2,1]> (V)
        states, y = LSTM <hidden_size = 5> (x, W, R)
    }
    """
    student = student_of(text, V=drawn(1, 4, 20), R=drawn(1, 20, 5))
    known = alike(student, student, inputs_of(student))
    with pytest.raises(TrainingError, match=r"nothing can be trained .* gradient for LSTM, node"):
        twin_of(student, known)


def test_tensors_are_alike_in_name_type_and_size() -> None:
    one, other = (
        normalize(load(proto_of(text, {"w": drawn(3, 3), "v": drawn(3, 2)})))
        for text in (
            """<ir_version: 8, opset_import: ["": 13]> n (float[N,3] x) => (float[N,2] y) {
            a = MatMul (x, w) b = Neg (a) i = Cast <to = 7> (a) c = MatMul (b, v)
            j = Cast <to = 1> (i) e = MatMul (j, v) k = Relu (w) f = MatMul (j, k) g = Neg (f)
            h = MatMul (g, v) z = Add (c, e) y = Add (z, h) }""",
            """<ir_version: 8, opset_import: ["": 13]> n (float[N,3] x) => (float[N,2] y) {
            a = MatMul (x, w) d = Neg (a) i = Cast <to = 6> (a) c = MatMul (d, v)
            f = Cast <to = 1> (i) g = MatMul (f, v) k = Relu (w) h = MatMul (a, k)
            e = MatMul (h, v) z = Add (c, e) y = Add (z, g) }""",
        )
    )
    assert alike(one, other, {"x": drawn(5, 3)}) == {"a", "c", "e", "f", "z", "y"}


def test_the_cut_of_a_real_model_is_where_its_recurrent_part_begins() -> None:
    path = ASSETS / "models" / "silero_vad_16k_op15.onnx"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    student, rng = normalize(load(path)), np.random.default_rng(0)
    inputs = {
        "input": rng.normal(size=(1, 576)).astype(np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16000),
    }
    student = ranked(student, inputs)
    twin = twin_of(student, alike(student, student, inputs))
    check_twin(student, twin, inputs)
    assert twin.cuts == (
        Cut("/model/encoder/3/activation/Relu_output_0", "/model/decoder/If", "If"),
        Cut("/model/decoder/decoder/3/Sigmoid_output_0", "/model/If", "If"),
    )
    assert len(twin.trainable) == 1 + 2 * 4 + 2
    assert twin.untrained == ()
    wanted = run(with_outputs(student, twin.forced), inputs)
    for name, array in learned(twin, student, inputs).items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)
