"""A loss of one's own, from a file to a graph, through the worker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from finetune.twin.checking import Gradients, assert_close, differences, inputs_of, student_of
from onnxtrim.errors import UsageError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.goals import Aim, answering
from onnxtrim.finetune.losses import OwnLoss, with_loss
from onnxtrim.finetune.losses.own import own_loss
from onnxtrim.finetune.twin import twin_of
from onnxtrim.graph.runtime import Runner

FILE = """
import onnx
from onnxruntime.training import onnxblock
from onnxruntime.training.onnxblock import blocks

class Quartic(onnxblock.Block):
    def __init__(self):
        super().__init__()
        self.off, self.power, self.mean = blocks.Sub(), blocks.Pow(4.0), blocks.ReduceMean(False)

    def build(self, output, target):
        print("noise")
        return self.mean(self.power(self.off(output, target)))

class Both(onnxblock.Block):
    def __init__(self):
        super().__init__()
        self.first, self.second = onnxblock.loss.MSELoss(), onnxblock.loss.L1Loss()
        self.add = blocks.Add()

    def build(self, y, w, wanted_y, wanted_w):
        return self.add(self.first(y, wanted_y), self.second(w, wanted_w))

class Second(onnxblock.Block):
    def build(self, y, w, wanted_y, wanted_w):
        return onnxblock.loss.MSELoss()(w, wanted_w)

class Nothing(onnxblock.Block):
    def build(self, output, target):
        return blocks.ReduceMean(False)(target)

class Wide(onnxblock.Block):
    def build(self, output, target):
        return blocks.Sub()(output, target)

class Faulty(onnxblock.Block):
    def build(self, output, target):
        raise RuntimeError("no\\n  idea")

class Steps(onnxblock.Block):
    def build(self, output, target):
        self.base.graph.node.append(onnx.helper.make_node("Elu", [output], ["steps"]))
        return blocks.ReduceMean(False)(blocks.Sub()("steps", target))

class More(onnxblock.Block):
    def build(self, output, target):
        return onnxblock.loss.MSELoss()(output, "another")

class Nameless(onnxblock.Block):
    def build(self, output, target):
        return None

class Grouped:
    entropy = onnxblock.loss.CrossEntropyLoss()

text = "a text"
"""
TEXT = """
<ir_version: 8, opset_import: ["" : 11]>
net (float[N, 3] x) => (float[N, 3] y, float[N, 3] w) { h = Gemm (x, k) y = Tanh (h) w = Neg (h) }
"""
RNG = np.random.default_rng(5)
STUDENT = student_of(TEXT, k=RNG.normal(size=(3, 3)).astype("f4"))
X, T, U = (RNG.normal(size=(4, 3)).astype("f4") for _ in range(3))
OUT = Runner(STUDENT)({"x": X})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns where `losses.py` lies."""
    path = tmp_path_factory.mktemp("own")
    (path / "losses.py").write_text(FILE)
    return path


def told(own: OwnLoss, **targets: np.ndarray) -> float:
    """Returns the loss of the student."""
    model = with_loss(answering(STUDENT, Aim((own,), "own")), [own])
    (loss,) = Runner(model)({"x": X, **targets}).values()
    assert loss.shape == ()
    return float(loss)


def test_it_is_given_outputs_and_what_the_teacher_answers(
    folder: Path, runtime: TrainingRuntime
) -> None:
    name = f"{folder / 'losses.py'}:Quartic"
    own = own_loss(name, STUDENT, ["y"], runtime, labelled=False)
    assert (own.outputs, own.targets, own.labelled) == (("y",), ("y.target",), False)
    wanted = np.mean((OUT["y"].astype(np.float64) - T) ** 4)
    assert told(own, **{"y.target": T}) == pytest.approx(wanted, rel=1e-5)


def test_of_several_outputs_it_is_given_all_then_all_targets(
    folder: Path, runtime: TrainingRuntime
) -> None:
    own = own_loss(f"{folder / 'losses.py'}:Both", STUDENT, ["y", "w"], runtime, labelled=False)
    wanted = np.mean((OUT["y"] - T) ** 2) + np.mean(np.abs(OUT["w"] - U))
    assert told(own, **{"y.target": T, "w.target": U}) == pytest.approx(wanted, rel=1e-5)


def test_outputs_that_it_leaves_out_are_none_of_its_own(
    folder: Path, runtime: TrainingRuntime
) -> None:
    own = own_loss(f"{folder / 'losses.py'}:Second", STUDENT, ["y", "w"], runtime, labelled=False)
    assert (own.outputs, own.answers) == (("w",), ("y", "w"))
    found = told(own, **{"y.target": T, "w.target": U})
    assert found == pytest.approx(np.mean((OUT["w"] - U) ** 2), rel=1e-5)


def test_labels_are_whole_numbers_and_it_may_be_an_instance_inside_a_class(
    folder: Path, runtime: TrainingRuntime
) -> None:
    name = f"{folder / 'losses.py'}:Grouped.entropy"
    own = own_loss(name, STUDENT, ["w"], runtime, labelled=True)
    labels = np.array([2, 0, 1, 1])
    wide = OUT["w"].astype(np.float64)
    logs = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    assert own.targets == ("labels.target",)
    found = told(own, **{"labels.target": labels})
    assert found == pytest.approx(-np.mean(logs[np.arange(4), labels]), rel=1e-5)


def test_a_module_that_python_finds_will_do(runtime: TrainingRuntime) -> None:
    name = "onnxruntime.training.onnxblock:loss.MSELoss"
    own = own_loss(name, STUDENT, ["w"], runtime, labelled=False)
    found = told(own, **{"w.target": T})
    assert found == pytest.approx(np.mean((OUT["w"] - T) ** 2), rel=1e-5)


def test_the_training_runtime_has_its_derivatives(
    folder: Path, runtime: TrainingRuntime, gradients: Gradients
) -> None:
    own = own_loss(f"{folder / 'losses.py'}:Quartic", STUDENT, ["y"], runtime, labelled=False)
    aim, twin = Aim((own,), "own"), twin_of(STUDENT)
    fed = {**inputs_of(STUDENT), "y.target": T[:2]}
    ones = {"loss": np.ones((), np.float32)}
    trained = replace(twin, learner=with_loss(answering(twin.learner, aim), [own]))
    model: ir.Model = with_loss(answering(STUDENT, aim), [own])
    found = gradients(trained, fed, ones)
    for weight, want in differences(model, twin.trainable, fed, ones).items():
        assert_close(found[weight], want)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Missing", "{file} has no Missing"),
        ("text", "text is no onnxruntime.training.onnxblock.Block"),
        ("Wide", "the loss has sizes ['N', 3]; end with a mean or sum over all axes"),
        ("Faulty", "RuntimeError: no idea"),
        ("Nothing", "the loss depends on no output of the model"),
        ("More", "it takes more inputs, another; it is called with all there are"),
        ("Nameless", "it returned None; return the name of the loss"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    folder: Path, runtime: TrainingRuntime, name: str, reason: str
) -> None:
    file = folder / "losses.py"
    with pytest.raises(UsageError) as caught:
        own_loss(f"{file}:{name}", STUDENT, ["y"], runtime, labelled=False)
    assert str(caught.value) == f"--loss {file}:{name}: {reason.format(file=file)}"


def test_an_operator_without_gradient_is_named(folder: Path, runtime: TrainingRuntime) -> None:
    with pytest.raises(UsageError, match="Elu"):
        own_loss(f"{folder / 'losses.py'}:Steps", STUDENT, ["y"], runtime, labelled=False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.py:Loss", "there is no file nowhere.py"),
        ("no_such_module:Loss", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_found_is_named(runtime: TrainingRuntime, name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        own_loss(name, STUDENT, ["y"], runtime, labelled=False)
    assert str(caught.value) == f"--loss {name}: {reason}"
