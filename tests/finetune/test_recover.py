"""`--finetune` in a run that prunes: the real training runtime, a small net, and what goes wrong.

Half of its eight channels go, by the norm of their weights, though all of them matter. So the cut
net is far from what it was, and has something to learn.
"""

import dataclasses
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import proto_of, run

import onnxtrim
from onnxtrim.cli import commands, main
from onnxtrim.errors import RecoveryError, TrainingError, UsageError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune import tune as room
from onnxtrim.finetune.course import Pace
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.schedule import follow

RNG = np.random.default_rng(5)
NET = """<ir_version: 8, opset_import: ["": 13]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
  [conv] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
  r = Relu (c)
  p = AveragePool <kernel_shape = [6, 6]> (r)
  f = Flatten (p)
  [head] y = Gemm (f, w, b)
}"""
WEIGHTS = {
    name: RNG.normal(size=shape).astype("f4")
    for name, shape in {"k": (8, 2, 3, 3), "w": (8, 3), "b": (3,)}.items()
}
MODEL = proto_of(NET, WEIGHTS)
CALIBRATION = RNG.normal(size=(60, 2, 6, 6)).astype("f4")
TRAINING = RNG.normal(size=(150, 2, 6, 6)).astype("f4")
SCORES = run(MODEL, {"x": TRAINING})["y"]
LABELS = (SCORES - SCORES.mean(axis=0)).argmax(axis=1)

CUT: dict[str, Any] = {
    "ratio": 0.5, "criterion": "l1", "align": "none", "threads": 1, "compensate": "none",
}  # fmt: skip
TUNING: dict[str, Any] = {"epochs": 8, "lr": 0.02, "batch_size": 8}
ALL: dict[str, Any] = {**CUT, **TUNING, "finetune": True}

INPUTS = {"net.onnx", "calibration.npy", "training.npy"}

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Desk:
    """A folder with the net and its data, and a command line in it."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def run(self, *arguments: str, **tuning: object) -> int:
        """Returns the exit status of a run."""
        options = {"data": self.path("calibration.npy"), **CUT, **tuning}
        words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", str(v))]
        return main([self.path("net.onnx"), *words, *arguments])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    onnx.save(MODEL, folder / "net.onnx")
    np.save(folder / "calibration.npy", CALIBRATION)
    np.save(folder / "training.npy", TRAINING)
    return Desk(folder)


class Doomed(RemoteTrainer):
    """A worker that is killed before it has been told anything."""

    def __enter__(self) -> Self:
        """Returns itself, dead."""
        os.kill(self.pid, signal.SIGKILL)
        return self


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RemoteTrainer", Doomed)


def interrupting(pace: Pace) -> None:
    """Presses Ctrl-C in the second epoch."""
    if pace.step == 20:
        signal.raise_signal(signal.SIGINT)


def error(model: ir.Model | onnx.ModelProto) -> float:
    """Returns the distance of the outputs from those of the net, relative to these."""
    wanted = run(MODEL, {"x": CALIBRATION})["y"].astype(np.float64)
    found = run(model, {"x": CALIBRATION})["y"]
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def cut_only() -> onnxtrim.PruneResult:
    """Returns what the cut leaves, without tuning."""
    return onnxtrim.prune(MODEL, CALIBRATION, **CUT)


@pytest.fixture(scope="module")
def tuned(runtime: TrainingRuntime) -> onnxtrim.PruneResult:
    """Returns what a run that goes well gives."""
    with pytest.MonkeyPatch.context() as patch:
        if runtime.folder is not None:
            patch.setenv("ONNXTRIM_TRAINING_HOME", str(runtime.folder.parent))
        return onnxtrim.prune(MODEL, CALIBRATION, train_data=TRAINING, **ALL)


@pytest.mark.usefixtures("installed")
class TestTuning:
    """What comes of a run that goes well."""

    def test_the_cut_is_that_without_tuning_and_the_weights_are_better(
        self, tuned: onnxtrim.PruneResult
    ) -> None:
        cut = cut_only()
        assert tuned.plan == cut.plan
        assert tuned.untuned is None
        assert [n.op_type for n in tuned.model.graph] == [n.op_type for n in cut.model.graph]
        assert error(tuned.model) < error(cut.model) / 2

    def test_the_report_has_the_metric_of_the_cut_model_and_of_the_tuned_one(
        self, tuned: onnxtrim.PruneResult
    ) -> None:
        (step,), after = tuned.report.steps, tuned.report.after
        assert step.metric is not None
        assert step.metric_tuned is not None
        assert step.metric.name == step.metric_tuned.name == "agreement"
        wanted, cut, now = (
            run(model, {"x": CALIBRATION})["y"].argmax(axis=1)
            for model in (MODEL, cut_only().model, tuned.model)
        )
        assert step.metric.value == pytest.approx(np.mean(cut == wanted))
        assert step.metric_tuned.value == pytest.approx(np.mean(now == wanted))
        assert after.metric == step.metric_tuned
        assert tuned.report.relative_error == pytest.approx(error(tuned.model), rel=1e-5)
        assert (after.params, after.macs) == (step.params, step.macs)

    def test_what_was_learned_is_in_it_too(self, tuned: onnxtrim.PruneResult) -> None:
        learned = tuned.report.tuning
        assert learned is not None
        assert learned.teacher == learned.model == tuned.report.model
        assert learned.learned_from == ("teacher",)
        assert learned.loss.name == "distill"
        assert learned.loss.after < learned.loss.before / 4
        assert learned.looks[0].step == 0
        assert (learned.steps, learned.epochs, len(learned.looks)) == (8 * (135 // 8), 8, 9)
        assert (learned.data["samples"], learned.data["held_out"]) == (150, 15)
        assert learned.settings["epochs"] == 8
        assert learned.environment["onnxruntime-training"] == "1.19.2"
        assert tuned.report.environment == learned.environment
        assert learned.warnings == ()
        assert tuned.report.timings_s["tune"] >= round(learned.seconds, 3)

    def test_labels_come_before_the_teacher(self) -> None:
        result = onnxtrim.prune(MODEL, CALIBRATION, train_data=(TRAINING, LABELS), **ALL)
        learned = result.report.tuning
        assert learned is not None
        assert (learned.loss.name, learned.learned_from) == ("ce", ("labels",))
        assert learned.metric is not None
        assert learned.metric.name == "accuracy"
        held_out = np.arange(150)[_middles(LABELS, 15)]
        found = run(result.model, {"x": TRAINING[held_out]})["y"].argmax(axis=1)
        assert learned.metric.after == pytest.approx(np.mean(found == LABELS[held_out]))

    def test_without_training_data_the_calibration_data_are_learned_from_with_a_warning(
        self,
    ) -> None:
        result = onnxtrim.prune(MODEL, CALIBRATION, **ALL)
        learned = result.report.tuning
        assert learned is not None
        assert learned.data["samples"] == 60
        (warning,) = result.report.warnings
        assert warning.startswith("it was tuned on 60 calibration samples, for want of --train-")
        assert learned.warnings == (warning,)
        assert error(result.model) < error(cut_only().model)

    @pytest.mark.parametrize(("count", "held_out"), [(9, 9), (10, 1)])
    def test_samples_that_judge_and_are_learned_are_said(self, count: int, held_out: int) -> None:
        options = {**ALL, "epochs": 1, "train_data": TRAINING[:count]}
        learned = onnxtrim.prune(MODEL, CALIBRATION, **options).report.tuning
        assert learned is not None
        assert learned.data["held_out"] == held_out
        said = [warning for warning in learned.warnings if "too few to hold some out" in warning]
        assert len(said) == (count == held_out)

    def test_what_a_model_was_itself_is_no_metric(self) -> None:
        """Without a teacher and with one score, its outputs are compared with nothing."""
        one = NET.replace("float[N, 3] y", "float[N, 1] y")
        model = proto_of(one, WEIGHTS | {"w": WEIGHTS["w"][:, :1], "b": WEIGHTS["b"][:1]})
        data = (TRAINING, (LABELS > 0).astype(np.int64))
        options: dict[str, Any] = {"epochs": 1, "batch_size": 8, "threads": 1, "loss": "bce"}
        assert onnxtrim.fine_tune(model, data, **options).report.metric is None
        taught = onnxtrim.fine_tune(model, data, model, **options).report.metric
        assert taught is not None
        assert taught.name == "relative_error"

    def test_samples_that_judge_a_drop_are_not_learned_from(self) -> None:
        budgets = {**ALL, "max_drop": 0.9, "epochs": 1}
        result = onnxtrim.prune(MODEL, CALIBRATION, **budgets)
        learned = result.report.tuning
        assert learned is not None
        assert result.report.data["held_out"] == 12
        assert learned.data["samples"] == 60 - 12

    def test_without_calibration_data_there_is_no_metric_but_that_of_tuning(self) -> None:
        result = onnxtrim.prune(MODEL, train_data=TRAINING, **ALL)
        (step,) = result.report.steps
        assert step.metric is step.metric_tuned is None
        assert result.report.tuning is not None
        assert error(result.model) < error(cut_only().model) / 2

    def test_samples_are_those_of_calibration(self) -> None:
        options = {**ALL, "samples": 20, "epochs": 1}
        result = onnxtrim.prune(MODEL, CALIBRATION, train_data=TRAINING, **options)
        assert result.report.data["samples"] == 20
        assert result.report.tuning is not None
        assert result.report.tuning.data["samples"] == 150

    def test_from_the_command_line(self, desk: Desk, capfd: Captured) -> None:
        report = ["--report", desk.path("r.json"), "--report", desk.path("r.md")]
        training = ["--finetune", "--train-data", desk.path("training.npy")]
        assert desk.run(*training, *report, **TUNING) == 0
        out, err = capfd.readouterr()
        assert err == ""
        assert desk.names() == INPUTS | {"net-trimmed.onnx", "r.json", "r.md"}
        thin = onnx.load(desk.path("net-trimmed.onnx"))
        onnx.checker.check_model(thin, full_check=True)
        assert error(thin) < error(cut_only().model) / 2
        found = json.loads((desk.folder / "r.json").read_text())
        assert found["relative_error"] == pytest.approx(error(thin), rel=1e-5)
        assert found["tuning"]["learned_from"] == ["teacher"]
        assert found["settings"]["finetune"] is True
        markdown = (desk.folder / "r.md").read_text()
        assert "## Tuning, judged on 15 samples held out" in markdown
        assert "onnxruntime-training 1.19.2" in markdown
        lines = out.splitlines()
        assert "agreement, before tuning" in out
        assert [line for line in lines if line.startswith("tuned: 128 steps in 8 epochs, ")]
        assert lines[-1] == f"written: {desk.path('net-trimmed.onnx')}"

    def test_the_seed_is_of_both(self, desk: Desk, capfd: Captured) -> None:
        assert desk.run("--finetune", "--json", epochs=1, seed=3, batch_size=8) == 0
        found = json.loads(capfd.readouterr().out)
        assert found["settings"]["seed"] == found["tuning"]["settings"]["seed"] == 3
        assert found["settings"]["batch_size"] == found["tuning"]["settings"]["batch_size"] == 8


@pytest.mark.usefixtures("installed")
class TestTrouble:
    """What is kept when tuning ends before its time."""

    @pytest.mark.usefixtures("doomed")
    def test_a_worker_that_dies_loses_no_pruned_model(self) -> None:
        result, cut = onnxtrim.prune(MODEL, CALIBRATION, train_data=TRAINING, **ALL), cut_only()
        assert isinstance(result.untuned, RecoveryError)
        assert str(result.untuned).startswith("pruned, but not tuned: training stopped: ")
        assert result.report.warnings == (str(result.untuned),)
        assert result.report.tuning is None
        ((step,), (alone,)) = result.report.steps, cut.report.steps
        assert dataclasses.replace(step, latency_ms=alone.latency_ms) == alone
        assert error(result.model) == error(cut.model)

    @pytest.mark.usefixtures("doomed")
    def test_from_the_command_line_it_is_written_and_the_status_is_1(
        self, desk: Desk, capfd: Captured
    ) -> None:
        assert desk.run("--finetune", "--report", desk.path("r.json"), **TUNING) == 1
        out, err = capfd.readouterr()
        assert err.startswith("onnxtrim: pruned, but not tuned: training stopped: ")
        assert err.count("\n") == 1
        assert out.splitlines()[-1] == f"written: {desk.path('net-trimmed.onnx')}"
        assert desk.names() == INPUTS | {"net-trimmed.onnx", "r.json"}
        assert error(onnx.load(desk.path("net-trimmed.onnx"))) == error(cut_only().model)
        found = json.loads((desk.folder / "r.json").read_text())
        assert found["tuning"] is None
        assert err == f"onnxtrim: {found['warnings'][-1]}\n"

    def test_ctrl_c_keeps_the_best_so_far(self) -> None:
        options = {**ALL, "epochs": 50}
        result = onnxtrim.prune(
            MODEL, CALIBRATION, train_data=TRAINING, watch=interrupting, **options
        )
        learned = result.report.tuning
        assert learned is not None
        assert learned.interrupted
        assert [look.step for look in learned.looks] == [0, 16, 20]
        assert error(result.model) < error(cut_only().model)

    @pytest.mark.parametrize(
        ("command", "written"), [((), "net-trimmed.onnx"), (("finetune",), "net-tuned.onnx")]
    )
    def test_from_the_command_line_it_is_written_and_the_status_is_130(
        self,
        desk: Desk,
        monkeypatch: pytest.MonkeyPatch,
        capfd: Captured,
        command: tuple[str, ...],
        written: str,
    ) -> None:
        monkeypatch.setattr(commands, "watch_of", lambda show: interrupting)
        report = ["--report", desk.path("r.json")]
        training = desk.path("training.npy")
        if command:
            onnxtrim.prune(MODEL, CALIBRATION, **CUT).save(desk.path("thin.onnx"))
            onnx.save(MODEL, desk.path("old.onnx"))
            os.replace(desk.path("thin.onnx"), desk.path("net.onnx"))
            options = ["--data", training, "--teacher", desk.path("old.onnx"), "--lr", "0.02"]
            options += ["--batch-size", "8", "--threads", "1", "--epochs", "50"]
            status = main([*command, desk.path("net.onnx"), *options, *report])
        else:
            options = ["--finetune", "--train-data", training]
            status = desk.run(*options, *report, **{**TUNING, "epochs": 50})
        assert status == 130
        assert capfd.readouterr().err.startswith("onnxtrim: interrupted; ")
        found = json.loads((desk.folder / "r.json").read_text())
        assert found.get("tuning", found)["interrupted"] is True
        assert error(onnx.load(desk.path(written))) < error(cut_only().model)


BAD: list[tuple[list[str], int, str]] = [
    (["--epochs", "2"], 2, "--epochs 2: is of fine-tuning; give --finetune, too"),
    (["--train-data", "{training}"], 2, "--train-data is what is learned from; give --finetune,"),
    (["--finetune", "--epochs", "0"], 2, "--epochs 0: 1 or more"),
    (["--finetune", "--seed", "-1"], 2, "--seed -1: 0 or more"),
    (["--finetune", "--loss", "ce"], 2, "--loss ce takes labels; give them"),
    (["--finetune", "--loss", "hinge"], 2, "hinge"),
    (["--finetune", "--augment", "flip"], 2, "--augment flip: no input has 4 axes"),
    (["--finetune", "--train-data", "nowhere"], 3, "nowhere"),
    (["--finetune", "--train-data", "{net}"], 3, "net.onnx"),
    (["--finetune", "--keep-artifacts", "{net}"], 2, "is there already"),
    (["--finetune", "--report", "{training}.txt"], 2, "suffix must be .json or .md"),
    (["--finetune", "--train-data", "{training}", "-o", "{training}"], 2, "training.npy"),
]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("arguments", "status", "said"), BAD, ids=lambda v: str(v)[:60])
def test_bad_input_is_said_in_a_line_before_anything_is_cut(
    desk: Desk,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    def cut(*_: object) -> None:
        raise AssertionError("the pruning has begun")

    monkeypatch.setattr(follow, "decide", cut)
    paths = {"net": desk.path("net.onnx"), "training": desk.path("training.npy")}
    assert desk.run(*[argument.format(**paths) for argument in arguments]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("onnxtrim: ")
    assert err.count("\n") == 1
    assert said in err
    assert desk.names() == INPUTS


HALF = """<ir_version: 8, opset_import: ["": 18]>
net (float[N, 2, 6, 6] x) => (float[N, 8, 6, 6] y) {
  h = Cast <to = 10> (x)
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h, k)
  r = Relu (c)
  d = Conv <kernel_shape = [1, 1]> (r, l)
  y = Cast <to = 1> (d)
}"""
"""No weight is of float32."""


@pytest.mark.usefixtures("installed")
def test_that_nothing_can_be_trained_is_said_before_the_pruning() -> None:
    shapes = {"k": (8, 2, 3, 3), "l": (8, 8, 1, 1)}
    model = proto_of(HALF, {n: RNG.normal(size=s).astype("f2") for n, s in shapes.items()})
    seen: list[str] = []
    with pytest.raises(TrainingError, match=r"nothing can be trained .*only float32 is trained"):
        onnxtrim.prune(
            model, CALIBRATION, **ALL, progress=lambda what, done, total: seen.append(what)
        )
    assert seen == []


def test_a_missing_runtime_is_said_before_the_pruning(
    desk: Desk, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxtrim.api, "prepare", lambda *_: pytest.fail("the model was read"))
    assert desk.run("--finetune") == 3
    assert capfd.readouterr().err.endswith("run: onnxtrim setup-training\n")
    assert desk.names() == INPUTS
    with pytest.raises(TrainingError, match="onnxtrim setup-training"):
        onnxtrim.prune(MODEL, CALIBRATION, **ALL)


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(UsageError, match=r"^--finetune learns from samples; give --train-data, or"):
        onnxtrim.prune(MODEL, **ALL)
    with pytest.raises(UsageError, match=r"^--train-data is what is learned from; give --finetune"):
        onnxtrim.prune(MODEL, CALIBRATION, train_data=TRAINING, **CUT)


def _middles(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns which samples are held out: of `count` stretches, class by class, the middles."""
    order = np.argsort(labels, kind="stable")
    return np.sort(order[(2 * np.arange(count) + 1) * len(labels) // (2 * count)])
