"""What `--keep-artifacts` leaves, and that the runtime's own API goes on with it."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import proto_of

from onnxtrim.errors import OutputError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.artifacts import check_free, keep_artifacts
from onnxtrim.finetune.losses import Goal, with_loss
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.graph import save

LINE = """
<ir_version: 8, opset_import: ["" : 17]>
line (float[2, 2] x) => (float[2, 1] y) { y = Gemm (x, w, b) }
"""
STEP = """
import json, sys
import numpy as np
from onnxtrim_worker.library import training_artifacts

training_artifacts()  # nothing but what lets the next line do without torch
from onnxruntime.training.api import CheckpointState, Module, Optimizer

folder = sys.argv[1]
state = CheckpointState.load_checkpoint(f"{folder}/checkpoint")
module = Module(f"{folder}/training_model.onnx", state, f"{folder}/eval_model.onnx")
optimizer = Optimizer(f"{folder}/optimizer_model.onnx", module)
found = state.parameters["w"].data.tolist()
module.train()
batch = {"x": np.eye(2, dtype="f4"), "y.target": np.array([[1], [2]], "f4")}
losses = []
for _ in range(2):
    losses.append(float(module(*(batch[name] for name in module.input_names()))))
    optimizer.set_learning_rate(0.1)
    optimizer.step()
    module.lazy_reset_grad()
print(json.dumps({"w": found, "losses": losses}))
"""
"""Two steps, as a device takes them, by the runtime's own API."""


@pytest.fixture
def trainer(runtime: TrainingRuntime, tmp_path: Path) -> RemoteTrainer:
    weights = {"w": np.array([[0.5], [0.25]], "f4"), "b": np.zeros(1, "f4")}
    model = ir.from_proto(proto_of(LINE, weights))
    save(with_loss(model, [Goal("y", "mse")]), tmp_path / "line.onnx")
    trainer = RemoteTrainer(runtime, tmp_path)
    trainer.ask(
        "build", model=str(tmp_path / "line.onnx"), folder=str(tmp_path), trainable=["w", "b"]
    )
    return trainer


def test_the_runtime_goes_on_where_training_was_the_best(
    runtime: TrainingRuntime, trainer: RemoteTrainer, tmp_path: Path
) -> None:
    """At w = 1/2, 1/4 the loss is (0.5^2 + 1.75^2) / 2 = 1.65625, whatever was done after that."""
    best, kept = tmp_path / "best.npz", tmp_path / "kept"
    batch = {"x": np.ones((2, 2), "f4"), "y.target": np.zeros((2, 1), "f4")}
    with trainer:
        trainer.ask("save", path=str(best))
        trainer.ask("train", batch=trainer.place(batch), rate=0.3, step=True)
        keep_artifacts(trainer, best, kept)
    names = ["checkpoint", "eval_model.onnx", "optimizer_model.onnx", "training_model.onnx"]
    assert sorted(path.name for path in kept.iterdir()) == names
    said = json.loads(
        subprocess.check_output(
            [str(runtime.python), "-c", STEP, str(kept)], env=runtime.environment(), text=True
        )
    )
    assert said["w"] == [[0.5], [0.25]]
    # A first step of AdamW is as long as the rate: w and b grow by 0.1, outputs by 0.2.
    assert said["losses"] == pytest.approx([1.65625, (0.3**2 + 1.55**2) / 2], rel=1e-4)


def test_nothing_is_left_where_it_cannot_be_kept(trainer: RemoteTrainer, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine.txt").touch()
    with trainer:
        trainer.ask("save", path=str(tmp_path / "best.npz"))
        before = set(tmp_path.iterdir())
        with pytest.raises(OutputError, match=r"kept: cannot be written"):
            keep_artifacts(trainer, tmp_path / "best.npz", kept)
    assert set(tmp_path.iterdir()) == before
    assert [path.name for path in kept.iterdir()] == ["mine.txt"]


def test_only_a_new_or_an_empty_folder_will_do(tmp_path: Path) -> None:
    check_free(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty")
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(OutputError, match="is there already; name a new folder"):
            check_free(taken)
    with pytest.raises(OutputError, match="there is no such folder"):
        check_free(tmp_path / "a" / "b")
