"""Fine-tuning from end to end, in the training runtime; what fails on the way, and what is kept."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from finetune.twin.checking import weight_of
from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune import TrainingRuntime, study
from onnxtrim.finetune import tune as room
from onnxtrim.finetune.config import BatchNorm, TuneConfig
from onnxtrim.finetune.course import Pace
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.finetune.study import with_weights
from onnxtrim.finetune.tune import Tuned, tune
from onnxtrim.graph import normalize
from onnxtrim.graph.runtime import Runner

RNG = np.random.default_rng(4)
NET = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
  n = BatchNormalization (c, scale, bias, mean, var)
  r = Relu (n)
  p = AveragePool <kernel_shape = [6, 6]> (r)
  f = Flatten (p)
  y = Gemm (f, w, b)
}
"""
X = RNG.normal(size=(90, 2, 6, 6)).astype("f4")
READING = DataConfig(batch_size=8, threads=1)
CONFIG = TuneConfig(epochs=4, lr=0.02)


def drawn(seed: int) -> Arrays:
    """Returns random weights."""
    rng = np.random.default_rng(seed)
    normal = {"k": (4, 2, 3, 3), "scale": (4,), "bias": (4,), "mean": (4,), "w": (4, 3), "b": (3,)}
    weights = {name: rng.normal(size=shape).astype("f4") for name, shape in normal.items()}
    return weights | {"var": rng.uniform(0.5, 2, size=4).astype("f4")}


def net(seed: int) -> ir.Model:
    return normalize(ir.from_proto(proto_of(NET, drawn(seed))))


TEACHER = net(0)


Watch = Callable[[Pace], None]


def data() -> Dataset:
    return open_data(X, input_specs(TEACHER), READING)


def tuned(
    runtime: TrainingRuntime, watch: Watch | None = None, config: TuneConfig = CONFIG
) -> Tuned:
    return tune(net(1), TEACHER, data(), config, READING, runtime, watch)


def error(model: ir.Model) -> float:
    """Returns the mean squared error of the outputs against the teacher's."""
    off = Runner(model)({"x": X})["y"] - Runner(TEACHER)({"x": X})["y"]
    return float(np.mean(off**2))


def test_a_student_learns_from_a_teacher_without_labels(runtime: TrainingRuntime) -> None:
    paces: list[Pace] = []
    result = tuned(runtime, paces.append, replace(CONFIG, epochs=12))
    assert result.warnings == ()
    assert result.after < result.before / 4
    assert error(result.model) < error(net(1)) / 4
    assert result.steps == len(paces) == 12 * (81 // 8)
    assert [pace.step for pace in paces] == list(range(1, 121))
    assert paces[-1].seconds_left == 0
    assert len(result.looks) == 13
    assert result.looks[0].loss <= result.before
    # The worker's last word and the deployed graph in the current runtime agree.
    assert min(look.loss for look in result.looks) == pytest.approx(result.after, rel=1e-4)


def test_weights_change_and_the_graph_stays(runtime: TrainingRuntime) -> None:
    student, result = net(1), tuned(runtime, config=replace(CONFIG, epochs=1))
    operators = [node.op_type for node in student.graph]
    assert [node.op_type for node in result.model.graph] == operators
    for name, old in drawn(1).items():
        new = weight_of(result.model, name)
        assert new.shape == old.shape
        assert not np.array_equal(new, old), name


def test_statistics_are_those_of_the_samples_where_that_is_better(
    runtime: TrainingRuntime,
) -> None:
    """The student is the teacher with wrong statistics; a rate of nearly 0 changes nothing else."""
    right, wrong = drawn(0), drawn(1)
    maps = Runner(_convolution())({"x": X})["c"].astype(np.float64)
    right |= {"mean": maps.mean(axis=(0, 2, 3)).astype("f4")}
    right |= {"var": maps.var(axis=(0, 2, 3)).astype("f4")}
    weights = right | {"mean": wrong["mean"] + 3, "var": wrong["var"] * 9}
    teacher, student = (normalize(ir.from_proto(proto_of(NET, each))) for each in (right, weights))
    still = TuneConfig(epochs=1, lr=1e-9)
    result = tune(student, teacher, data(), still, READING, runtime)
    assert result.looks[0].loss < result.before / 20
    found = weight_of(result.model, "mean")
    np.testing.assert_allclose(found.astype(np.float32), right["mean"], atol=0.2)


def test_statistics_follow_the_batches_where_norms_are_trained(runtime: TrainingRuntime) -> None:
    """The rate is nearly 0, so that nothing else moves, and the mean of the samples is far away."""
    maps = Runner(_convolution())({"x": X})["c"].astype(np.float64)
    m, v = maps.mean(axis=(0, 2, 3)), maps.var(axis=(0, 2, 3))
    away = {"mean": (m + 8).astype("f4"), "var": v.astype("f4")}
    student = normalize(ir.from_proto(proto_of(NET, drawn(0) | away)))
    still = TuneConfig(epochs=1, lr=1e-9, bn="train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "own_statistics", lambda *_: {})  # it would do the same at once
        result = tune(student, TEACHER, data(), still, READING, runtime)
    found = weight_of(result.model, "mean")
    # Ten batches of eight take a mean that is 8 away to 8 x 0.9^10 = 2.8 away.
    np.testing.assert_allclose(found - m, 8 * 0.9**10, atol=0.3)


def test_weights_that_look_bad_by_old_statistics_are_good_by_new_ones(
    runtime: TrainingRuntime,
) -> None:
    """Two large steps leave the running mean and variance far behind."""
    config = TuneConfig(epochs=1, lr=1.5, bn="train", warmup=0.0, weight_decay=0.0)
    result = tune(net(1), TEACHER, data(), config, replace(READING, batch_size=40), runtime)
    first, last = result.looks
    assert last.loss > first.loss
    assert result.after < first.loss / 2
    assert result.warnings == ()


@pytest.mark.parametrize("bn", ["frozen", "train"])
def test_either_way_to_train_norms_learns(runtime: TrainingRuntime, bn: BatchNorm) -> None:
    result = tuned(runtime, config=replace(CONFIG, epochs=12, bn=bn))
    assert error(result.model) < error(net(1)) / 4


def _convolution() -> ir.Model:
    """Returns what the normalisation of the teacher is fed."""
    text = """
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 2, 6, 6] x) => (float[N, 4, 6, 6] c)
    { c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k) }
    """
    return ir.from_proto(proto_of(text, {"k": drawn(0)["k"]}))


def test_a_student_learns_from_labels_without_a_teacher(runtime: TrainingRuntime) -> None:
    scores = Runner(TEACHER)({"x": X})["y"]
    labels = (scores - scores.mean(axis=0)).argmax(axis=1)
    labelled = open_data((X, labels), input_specs(TEACHER), READING)
    result = tune(net(1), None, labelled, replace(CONFIG, epochs=30), READING, runtime)
    assert result.after < result.before / 2
    before, after = (
        np.mean(Runner(m)({"x": X})["y"].argmax(axis=1) == labels) for m in (net(1), result.model)
    )
    assert before < 0.5
    assert after > before + 0.2


def test_the_same_seed_gives_the_same_weights(runtime: TrainingRuntime) -> None:
    configs = [replace(CONFIG, epochs=1, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (error(tuned(runtime, config=config).model) for config in configs)
    assert first == again != other


def test_a_student_learns_from_images_that_are_changed_in_each_epoch(
    runtime: TrainingRuntime,
) -> None:
    """Arrays of two channels are images where the layout says so."""
    reading = replace(READING, layout="nchw")
    config = replace(CONFIG, epochs=8, augment="flip+crop")
    changed, plain = (
        error(tune(net(1), TEACHER, data(), each, reading, runtime).model)
        for each in (config, replace(config, augment="none"))
    )
    assert changed != plain
    assert changed < error(net(1)) / 4


def test_images_are_not_changed_where_there_are_none(runtime: TrainingRuntime) -> None:
    with pytest.raises(UsageError, match=r"^--augment crop: no input has 4 axes with 1 or 3"):
        tuned(runtime, config=replace(CONFIG, augment="crop"))


def test_what_learns_nothing_is_as_it_was_and_says_so(runtime: TrainingRuntime) -> None:
    result = tune(TEACHER, TEACHER, data(), TuneConfig(epochs=2), READING, runtime)
    assert result.model is TEACHER
    assert result.after == result.before == 0
    (warning,) = result.warnings
    assert warning.startswith("nothing was learned: the loss on held-out samples was 0")
    assert warning.endswith("there is nothing left to learn")


def test_new_statistics_alone_are_not_said_to_be_learned(runtime: TrainingRuntime) -> None:
    """The rate is so low that no step changes a weight; the student's variances are wrong."""
    off = with_weights(TEACHER, {"var": np.full(4, 9, "f4"), "mean": np.full(4, 3, "f4")})
    config = TuneConfig(epochs=1, lr=1e-30)
    result = tune(off, TEACHER, data(), config, READING, runtime)
    assert result.after < result.before
    (warning,) = result.warnings
    assert warning.startswith("no step made the loss on held-out samples less: only the means")


def test_a_loss_that_is_no_number_from_the_start_is_an_error(runtime: TrainingRuntime) -> None:
    huge = open_data(1e30 * X, input_specs(TEACHER), READING)
    with pytest.raises(TrainingError, match=r"^the loss on held-out samples is (inf|nan) before"):
        tune(net(1), TEACHER, huge, CONFIG, READING, runtime)


def test_it_stops_when_patience_is_at_its_end(runtime: TrainingRuntime) -> None:
    result = tune(TEACHER, TEACHER, data(), TuneConfig(epochs=9, patience=2), READING, runtime)
    assert len(result.looks) == 3


def test_a_loss_that_is_no_number_ends_the_run_and_the_best_is_kept(
    runtime: TrainingRuntime,
) -> None:
    wild = TuneConfig(optimizer="sgd", lr=1e30, warmup=0.0, weight_decay=0.0)
    result = tuned(runtime, config=wild)
    assert "lower --lr" in result.warnings[0]
    assert error(result.model) <= error(net(1))
    assert result.steps < 10


def test_a_look_that_is_no_number_is_said(runtime: TrainingRuntime) -> None:
    """There is one step, so that no loss of a batch shows what it has done."""
    wild = TuneConfig(epochs=3, optimizer="sgd", lr=1e30, warmup=0.0, weight_decay=0.0)
    reading = replace(READING, batch_size=81)
    result = tune(net(1), TEACHER, data(), wild, reading, runtime)
    assert (result.steps, len(result.looks)) == (1, 2)
    sentence = r"stopped after step 1: the loss is (inf|nan); lower --lr"
    assert re.fullmatch(sentence, result.warnings[0])


def test_ctrl_c_keeps_the_best_so_far(runtime: TrainingRuntime) -> None:
    def watch(pace: Pace) -> None:
        if pace.step == 25:
            signal.raise_signal(signal.SIGINT)

    result = tuned(runtime, watch, replace(CONFIG, epochs=20))
    assert result.interrupted
    assert result.steps == 25
    assert [look.step for look in result.looks] == [0, 10, 20, 25]
    assert error(result.model) < error(net(1))


class TestDeath:
    """The worker is killed."""

    @pytest.fixture
    def trainers(self, monkeypatch: pytest.MonkeyPatch) -> list[RemoteTrainer]:
        made: list[RemoteTrainer] = []

        def noted(runtime: TrainingRuntime, folder: Path) -> RemoteTrainer:
            made.append(RemoteTrainer(runtime, folder))
            return made[-1]

        monkeypatch.setattr(room, "RemoteTrainer", noted)
        return made

    @staticmethod
    def killing(trainers: list[RemoteTrainer], step: int) -> Watch:
        def watch(pace: Pace) -> None:
            if pace.step == step:
                os.kill(trainers[0].pid, signal.SIGKILL)

        return watch

    def test_after_something_was_learned_the_best_is_kept(
        self, runtime: TrainingRuntime, trainers: list[RemoteTrainer]
    ) -> None:
        result = tuned(runtime, self.killing(trainers, 15))
        (warning,) = result.warnings
        assert warning.startswith("stopped after step 15: training stopped:")
        assert "signal 9" in warning
        assert result.looks[-1].step == 10
        assert error(result.model) < error(net(1))

    def test_before_it_is_an_error(
        self, runtime: TrainingRuntime, trainers: list[RemoteTrainer]
    ) -> None:
        with pytest.raises(TrainingError, match="signal 9"):
            tuned(runtime, self.killing(trainers, 5))
