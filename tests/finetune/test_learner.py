"""A student learns on both sides of an operator without gradient, in the training runtime."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from finetune.twin.checking import weight_of
from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.learner import Task, learners_task
from onnxtrim.finetune.lessons import Lessons, Teacher
from onnxtrim.finetune.losses import Goal
from onnxtrim.finetune.tune import Tuned, tune
from onnxtrim.finetune.twin import alike, twin_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import with_outputs
from onnxtrim.graph.runtime import Runner

NET = """
<ir_version: 8, opset_import: ["": 13]>
net (float[N, 3, 6] x) => (float[N, 3] y) {
    c = Conv (x, w)
    t = Tanh (c)
    s = Transpose <perm = [2, 0, 1]> (t)
    [memory] states, last = LSTM <hidden_size = 5> (s, W, R)
    one = Squeeze (last, zero)
    y = Gemm (one, k, b)
}
"""
OWN = """
<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
net (float[N, 3, 6] x) => (float[N, 2, 6] y) {
    t = Conv (x, w)
    [own] u = com.microsoft.Gelu (t)
    y = Conv (u, k)
}
"""
END = """
<ir_version: 8, opset_import: ["": 17]>
net (float[N, 3, 6] x) => (float[N, 4, 6] y) {
    t = Conv (x, w)
    [end] y = LpNormalization <axis = 1> (t)
}
"""
X = np.random.default_rng(4).normal(size=(90, 3, 6)).astype("f4")
READING = DataConfig(batch_size=8, threads=1)
CONFIG = TuneConfig(epochs=25, lr=0.03)


def drawn(seed: int, **shapes: tuple[int, ...]) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def recurrent(seed: int) -> ir.Model:
    """Returns a model whose weights depend on the seed, but for those of its LSTM."""
    memory = drawn(9, W=(1, 20, 4), R=(1, 20, 5))
    weights = drawn(seed, w=(4, 3, 1), k=(5, 3), b=(3,)) | memory | {"zero": np.array([0])}
    return normalize(load(proto_of(NET, weights)))


def custom(seed: int) -> ir.Model:
    return normalize(load(proto_of(OWN, drawn(seed, w=(4, 3, 1), k=(2, 4, 1)))))


def ending(seed: int) -> ir.Model:
    return normalize(load(proto_of(END, drawn(seed, w=(4, 3, 1)))))


def data(labels: np.ndarray | None = None) -> Dataset:
    source = X if labels is None else (X, labels)
    return open_data(source, input_specs(recurrent(0)), READING)


def error(model: ir.Model, teacher: ir.Model, tensor: str) -> float:
    """Returns the mean squared difference of a tensor from the teacher's."""
    found, wanted = (Runner(with_outputs(m, [tensor]))({"x": X})[tensor] for m in (model, teacher))
    return float(np.mean((found - wanted) ** 2))


def tuned(runtime: TrainingRuntime, student: ir.Model, teacher: ir.Model | None) -> Tuned:
    return tune(student, teacher, data(), CONFIG, READING, runtime)


@pytest.mark.parametrize(
    ("make", "tensor", "sentence"),
    [
        (recurrent, "s", "trained up to 's', before LSTM 'memory': against the teacher's"),
        (custom, "t", "trained up to 't', before Gelu 'own': against the teacher's"),
    ],
)
def test_what_lies_before_and_behind_comes_nearer_to_the_teacher(
    runtime: TrainingRuntime, make: object, tensor: str, sentence: str
) -> None:
    assert callable(make)
    student, teacher = make(1), make(0)
    result = tuned(runtime, student, teacher)
    (cut,) = result.cuts
    assert cut.startswith(sentence)
    for each in (tensor, "y"):
        assert error(result.model, teacher, each) < error(student, teacher, each) / 10
    for name in ("w", "k"):
        assert np.abs(weight_of(result.model, name) - weight_of(student, name)).max() > 0.01
    assert result.after < result.before / 10
    assert result.looks[0].loss > 5 * result.looks[-1].loss
    assert result.warnings == ()


def test_where_the_operator_is_the_last_the_cut_is_what_is_learned(
    runtime: TrainingRuntime,
) -> None:
    result = tuned(runtime, ending(1), ending(0))
    assert result.after < result.before / 10
    assert error(result.model, ending(0), "y") < error(ending(1), ending(0), "y") / 10


def test_labels_for_the_output_and_the_teacher_for_the_cut(runtime: TrainingRuntime) -> None:
    student, teacher = recurrent(1), recurrent(0)
    scores = Runner(teacher)({"x": X})["y"]
    labels = (scores - scores.mean(axis=0)).argmax(axis=1)
    result = tune(student, teacher, data(labels), CONFIG, READING, runtime)
    assert (result.loss, result.learned_from) == ("ce", ("labels", "teacher"))
    assert result.after < result.before
    assert error(result.model, teacher, "s") < error(student, teacher, "s") / 5


def test_without_a_teacher_only_what_lies_behind_learns(runtime: TrainingRuntime) -> None:
    student = recurrent(1)
    scores = Runner(recurrent(0))({"x": X})["y"]
    labels = (scores - scores.mean(axis=0)).argmax(axis=1)
    result = tune(student, None, data(labels), CONFIG, READING, runtime)
    assert result.after < result.before
    assert result.cuts == ()
    assert [one.split(":")[0] for one in result.untrained] == ["w", "W", "R"]
    np.testing.assert_array_equal(weight_of(result.model, "w"), weight_of(student, "w"))


def test_where_nothing_can_learn_it_says_so(runtime: TrainingRuntime) -> None:
    labels = np.arange(90) % 4
    net = """
    <ir_version: 8, opset_import: ["": 17]>
    net (float[N, 3, 6] x) => (float[N, 4] y) {
        c = Conv (x, w)
        n = LpNormalization <axis = 1> (c)
        y = ReduceMean <axes = [2], keepdims = 0> (n)
    }
    """
    student = normalize(load(proto_of(net, drawn(1, w=(4, 3, 1)))))
    sentence = r"^model: nothing can be trained \(w: .* for LpNormalization; with --teacher,"
    with pytest.raises(TrainingError, match=sentence):
        tune(student, None, data(labels), CONFIG, READING, runtime)


def test_a_cut_counts_as_much_as_the_outputs_relative_to_its_spread(tmp_path: Path) -> None:
    student, teacher = recurrent(1), recurrent(0)
    twin = twin_of(student, alike(student, teacher, {"x": X[:4]}))
    knows = Teacher(teacher, tmp_path, threads=1)
    goals = (Goal("y", "mse"),)
    task = Task(
        goals,
        Lessons("training", data(), 8, goals, knows, 1),
        Lessons("exam", data(), 8, goals, knows),
    )
    found = learners_task(twin, task, teacher, tmp_path, 1)
    assert found.goals[0] == goals[0]
    (_, cut) = found.goals
    assert isinstance(cut, Goal)
    assert (cut.output, cut.kind, cut.weight) == ("s", "mse", 1.0)
    filled = np.concatenate([X, X[-1:], X[-1:], X[-1:], X[-1:], X[-1:], X[-1:]])
    at_cut = Runner(with_outputs(teacher, ["s"]))({"x": filled})["s"]
    assert cut.spread == pytest.approx(at_cut.astype("f8").std(), rel=1e-5)


def test_lessons_of_a_learner_are_the_same_samples_with_prompts(tmp_path: Path) -> None:
    student, teacher = recurrent(1), recurrent(0)
    twin = twin_of(student, alike(student, teacher, {"x": X[:4]}))
    knows = Teacher(teacher, tmp_path, threads=1)
    goals = (Goal("y", "mse"),)
    lessons = Lessons("training", data(), 8, goals, knows, 1)
    task = learners_task(twin, Task(goals, lessons, lessons), teacher, tmp_path, 1)
    whole = Runner(with_outputs(teacher, ["s", "last"]))
    for number in range(2):
        for (mine, _), (arrays, _) in zip(
            lessons.epoch(number), task.lessons.epoch(number), strict=True
        ):
            np.testing.assert_array_equal(mine["x"], arrays["x"])
            np.testing.assert_array_equal(mine["y.target"], arrays["y.target"])
            wanted = whole({"x": arrays["x"]})
            np.testing.assert_allclose(arrays["s.target"], wanted["s"], rtol=1e-5)
            # The LSTM of student and teacher is one, and so is what it makes of the same tensor.
            np.testing.assert_allclose(arrays["last"], wanted["last"], rtol=1e-4, atol=1e-6)


def test_a_model_without_cuts_has_the_task_of_its_learner(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 13]> n (float[N, 3, 6] x) => (float[N, 4, 6] y) '
    student = normalize(load(proto_of(text + "{ y = Conv (x, w) }", drawn(1, w=(4, 3, 1)))))
    goals = (Goal("y", "mse"),)
    lessons = Lessons("training", data(), 8, goals, None, 1)
    task = Task(goals, lessons, lessons)
    assert learners_task(twin_of(student), task, student, tmp_path, 1) is task


def test_a_thinner_student_learns_the_channels_that_it_has_left(runtime: TrainingRuntime) -> None:
    rng, left = np.random.default_rng(7), [1, 2, 4]
    wide = drawn(0, w=(6, 3, 1), W=(1, 20, 6), R=(1, 20, 5), k=(5, 3), b=(3,))
    blurred = wide["w"][left] + 0.4 * rng.normal(size=(3, 3, 1)).astype("f4")
    thin = wide | {"w": blurred, "W": wide["W"][:, :, left]}
    student, teacher = (
        normalize(load(proto_of(NET, each | {"zero": np.array([0])}))) for each in (thin, wide)
    )
    result = tuned(runtime, student, teacher)
    assert len(result.cuts) == 1
    wanted = Runner(with_outputs(teacher, ["s"]))({"x": X})["s"][:, :, left]
    before, after = (
        np.mean((Runner(with_outputs(m, ["s"]))({"x": X})["s"] - wanted) ** 2)
        for m in (student, result.model)
    )
    assert after < before / 10
    assert result.after < result.before
