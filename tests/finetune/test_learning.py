"""Every loss from end to end: a student that is the teacher's like learns to do as it does."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import proto_of

from finetune.twin.checking import weight_of
from onnxtrim.calibration import input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.tune import Tuned, tune
from onnxtrim.graph import normalize
from onnxtrim.graph.runtime import Runner

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y, float[N, 2] w) {
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
  r = Relu (c)
  p = AveragePool <kernel_shape = [6, 6]> (r)
  f = Flatten (p)
  s = Gemm (f, m)
  y = Sigmoid (s)
  w = Gemm (f, n)
}
"""
X = np.random.default_rng(1).normal(size=(90, 2, 6, 6)).astype("f4")
READING = DataConfig(batch_size=8, threads=1)


def net(channels: int, seed: int) -> ir.Model:
    """Returns a net with an output of probabilities and one of scores."""
    rng = np.random.default_rng(seed)
    shapes = {"k": (channels, 2, 3, 3), "m": (channels, 3), "n": (channels, 2)}
    weights = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return normalize(ir.from_proto(proto_of(TEXT, weights)))


TEACHER, STUDENT = net(6, 0), net(4, 1)


def tuned(runtime: TrainingRuntime, **options: object) -> Tuned:
    config = TuneConfig(epochs=4, lr=0.02, **options)  # type: ignore[arg-type]
    data = open_data(X, input_specs(TEACHER), READING)
    return tune(STUDENT, TEACHER, data, config, READING, runtime)


def off(model: ir.Model, output: str) -> float:
    """Returns the mean squared error of an output against the teacher's."""
    return float(
        np.mean((Runner(model)({"x": X})[output] - Runner(TEACHER)({"x": X})[output]) ** 2)
    )


def assert_learned(result: Tuned) -> None:
    """Fails unless the loss is less, and is the same in both runtimes."""
    assert result.warnings == ()
    assert result.after < 0.7 * result.before
    assert min(look.loss for look in result.looks) == pytest.approx(result.after, rel=1e-4)
    assert [value.name for value in result.model.graph.outputs] == ["y", "w"]


def test_bce_learns_probabilities_and_leaves_the_sigmoid_in_place(
    runtime: TrainingRuntime,
) -> None:
    result = tuned(runtime, loss="bce", output_weight=("w=0",))
    assert_learned(result)
    assert off(result.model, "y") < 0.7 * off(STUDENT, "y")
    assert [n.op_type for n in result.model.graph] == [n.op_type for n in STUDENT.graph]


def test_an_output_without_weight_leaves_its_own_weights_alone(runtime: TrainingRuntime) -> None:
    result = tuned(runtime, loss="mse", output_weight=("y=0",))
    assert_learned(result)
    np.testing.assert_array_equal(weight_of(result.model, "m"), weight_of(STUDENT, "m"))
    assert not np.array_equal(weight_of(result.model, "n"), weight_of(STUDENT, "n"))


def test_features_are_learned_beside_the_outputs(runtime: TrainingRuntime) -> None:
    result = tuned(runtime, loss="mse", features=2.0)
    assert_learned(result)
    plain = tuned(runtime, loss="mse")
    assert result.before > plain.before, "features count"
    maps = [_map(model) for model in (STUDENT, result.model, TEACHER)]
    assert np.mean((maps[1] - maps[2]) ** 2) < np.mean((maps[0] - maps[2]) ** 2)


def _map(model: ir.Model) -> np.ndarray:
    """Returns the attention map of what comes out of the Relu."""
    clone = model.clone()
    clone.graph.outputs.append(next(v for n in clone.graph for v in n.outputs if v.name == "r"))
    energy = (Runner(clone)({"x": X})["r"] ** 2).mean(axis=1).reshape(len(X), -1)
    unit: np.ndarray = energy / np.linalg.norm(energy, axis=1, keepdims=True)
    return unit


def test_a_loss_of_ones_own_is_learned(runtime: TrainingRuntime, tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(
        """
from onnxruntime.training import onnxblock

class Mine(onnxblock.Block):
    def build(self, y, w, wanted_y, wanted_w):
        return onnxblock.loss.MSELoss()(w, wanted_w)
"""
    )
    result = tuned(runtime, loss=f"{tmp_path / 'losses.py'}:Mine")
    assert_learned(result)
    np.testing.assert_array_equal(weight_of(result.model, "m"), weight_of(STUDENT, "m"))
    assert off(result.model, "w") < 0.7 * off(STUDENT, "w")


@pytest.mark.parametrize("loss", ["ce+distill", "bce"])
def test_labels_of_a_classifier(runtime: TrainingRuntime, loss: str) -> None:
    teacher, student = (_classifier(n, seed) for n, seed in ((6, 0), (4, 1)))
    scores = Runner(teacher)({"x": X})["y"]
    labels = (scores - scores.mean(axis=0)).argmax(axis=1)
    data = open_data((X, labels), input_specs(teacher), READING)
    config = TuneConfig(epochs=6, lr=0.02, loss=loss)
    master = teacher if loss == "ce+distill" else None
    result = tune(student, master, data, config, READING, runtime)
    assert result.learned_from == (("labels", "teacher") if master else ("labels",))
    assert result.warnings == ()
    assert result.after < 0.8 * result.before
    assert min(look.loss for look in result.looks) == pytest.approx(result.after, rel=1e-4)


def _classifier(channels: int, seed: int) -> ir.Model:
    """Returns a net without its second output."""
    clone = net(channels, seed).clone()
    clone.graph.outputs.pop()
    return normalize(clone)
