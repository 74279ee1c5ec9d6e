"""`onnxtrim finetune` and `onnxtrim.fine_tune`, on the LeNet and the digits that come with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxtrim
from onnxtrim.cli import main
from onnxtrim.errors import DataError, OutputError, TrainingError, UsageError

MODELS = Path(__file__).parents[2] / "models"
LENET, DIGITS = MODELS / "lenet-digits.onnx", MODELS / "digits"


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a LeNet that was cut until it knows little."""
    path = tmp_path_factory.mktemp("thin") / "thin.onnx"
    onnxtrim.prune(LENET, DIGITS, macs=0.08, criterion="random", threads=1).save(path)
    return path


def weights(path: Path) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
class TestRealRuntime:
    """What learning does."""

    @pytest.mark.parametrize("arguments", [[], ["--teacher", str(LENET), "--loss", "distill"]])
    def test_a_thin_model_knows_the_digits_again(
        self, thin: Path, tmp_path: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        model = Path(shutil.copy(thin, tmp_path / "net.onnx"))
        options = ["--epochs", "12", "--lr", "0.003", "--threads", "1", "--json"]
        data = ["--data", str(DIGITS), "--batch-size", "16"]
        assert main(["finetune", str(model), *data, *options, *arguments]) == 0
        said = json.loads(capfd.readouterr().out)
        assert said["metric"]["name"] == "accuracy"
        assert said["metric"]["after"] >= 0.9 > said["metric"]["before"] + 0.2
        assert said["loss"]["after"] < said["loss"]["before"] / 2
        assert said["untrained"] == said["warnings"] == []
        old, new = weights(model), weights(tmp_path / "net-tuned.onnx")
        assert {k: a.shape for k, a in new.items()} == {k: a.shape for k, a in old.items()}
        onnx.checker.check_model(onnx.load(tmp_path / "net-tuned.onnx"), full_check=True)

    def test_it_says_in_words_what_came_of_it(
        self, thin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out.onnx"
        arguments = ["--data", str(DIGITS), "--epochs", "1", "--threads", "1", "-o", str(out)]
        reports = [tmp_path / "r.json", tmp_path / "r.md"]
        arguments += [word for path in reports for word in ("--report", str(path))]
        assert main(["finetune", str(thin), *arguments]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert "Tuning, judged on 30 samples held out" in [line.strip() for line in lines]
        (said,) = [line for line in lines if line.startswith("tuned: ")]
        assert said.startswith("tuned: 4 steps in 1 epoch, ")
        assert said.endswith(" s in all; learned from labels")
        assert lines[-1] == f"written: {out}"
        found = json.loads(reports[0].read_text())
        assert (found["model"]["name"], found["teacher"]) == ("thin.onnx", None)
        assert (found["data"]["samples"], found["data"]["held_out"]) == (300, 30)
        assert reports[1].read_text().startswith("# thin.onnx\n")

    def test_the_models_it_was_read_from_are_not_written_over(self, thin: Path) -> None:
        result = onnxtrim.fine_tune(thin, DIGITS, LENET, epochs=1, threads=1)
        for source in (thin, LENET):
            with pytest.raises(OutputError):
                result.save(source)

    def test_without_labels_and_without_a_teacher_there_is_nothing_to_learn(
        self, thin: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"^there is nothing to learn from: .*--teacher"):
            onnxtrim.fine_tune(thin, np.zeros((20, 1, 28, 28), np.float32))

    def test_a_teacher_of_another_interface_is_refused(self, thin: Path, tmp_path: Path) -> None:
        model = onnx.load(LENET)
        model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(DataError, match="have different inputs or outputs"):
            onnxtrim.fine_tune(thin, DIGITS, tmp_path / "other.onnx")


def test_without_a_training_runtime_it_says_what_to_run() -> None:
    with pytest.raises(TrainingError, match=r"run: onnxtrim setup-training$"):
        onnxtrim.fine_tune(LENET, DIGITS)


def test_an_output_that_is_an_input_is_refused_before_any_work(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["finetune", str(LENET), "--data", str(DIGITS), "-o", str(LENET)]) == 2
    assert str(LENET) in capfd.readouterr().err


@pytest.mark.parametrize(
    ("report", "said"), [("r.txt", "suffix must be .json or .md"), ("net.onnx", "net.onnx")]
)
def test_a_report_that_cannot_be_is_refused_before_any_work(
    tmp_path: Path, report: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copy(LENET, tmp_path / "net.onnx")
    before = Path(model).read_bytes()
    arguments = ["--data", str(DIGITS), "--report", str(tmp_path / report)]
    assert main(["finetune", str(model), *arguments]) == 2
    assert said in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert Path(model).read_bytes() == before
