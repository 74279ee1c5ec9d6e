"""The pitfalls of the training build, each in a worker."""

import subprocess
from pathlib import Path

import onnx
import pytest

from onnxtrim.finetune import TrainingRuntime

BUILD = """
import sys
from pathlib import Path
import onnx
from onnxtrim_worker.library import build_artifacts, training_artifacts
artifacts = training_artifacts()
folder = Path(sys.argv[1])
build_artifacts(
    onnx.load(folder / "line.onnx"),
    folder,
    requires_grad=["w"],
    loss=artifacts.LossType.MSELoss,
    optimizer=artifacts.OptimType.SGD,
)
"""


def worker(runtime: TrainingRuntime, code: str, *arguments: Path) -> str:
    command = [str(runtime.python), "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, env=runtime.environment(), capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1]


def line(folder: Path, opset: int) -> None:
    """Writes y = x w."""
    text = f"""
    <ir_version: 8, opset_import: ["" : {opset}]>
    line (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {{0, 0}}> {{ y = MatMul (x, w) }}
    """
    onnx.save(onnx.parser.parse_model(text), folder / "line.onnx")


def test_neither_torch_nor_flatbuffers_is_imported(runtime: TrainingRuntime) -> None:
    code = """
import sys
from onnxtrim_worker.library import training_artifacts
assert callable(training_artifacts().generate_artifacts)
print(sorted(m for m in sys.modules if m.split(".")[0] in ("flatbuffers", "torch")))
print(sys.modules["torch"])
"""
    assert worker(runtime, code) == "['torch']\nNone\n"


@pytest.mark.parametrize("opset", [13, 21])
def test_every_model_it_writes_is_of_a_version_that_it_reads(
    runtime: TrainingRuntime, tmp_path: Path, opset: int
) -> None:
    line(tmp_path, opset)
    assert worker(runtime, BUILD, tmp_path) == ""
    models = {path.stem: onnx.load(path) for path in tmp_path.glob("*_model.onnx")}
    assert models.keys() == {"training_model", "eval_model", "optimizer_model"}
    for model in models.values():
        assert model.ir_version <= 10
        assert {o.version for o in model.opset_import if o.domain == ""} == {opset}
    assert (tmp_path / "checkpoint").exists()


def test_an_opset_that_is_too_new_is_refused_in_words(
    runtime: TrainingRuntime, tmp_path: Path
) -> None:
    line(tmp_path, 22)
    said = worker(runtime, BUILD, tmp_path)
    assert said == "ValueError: the model has opset 22; training takes 21 at most"
