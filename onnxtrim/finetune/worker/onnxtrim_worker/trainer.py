"""A model that is being trained by the training build of ONNX Runtime.

The model has one output, the loss, so that the targets are inputs like others.

Gradients of n batches add up before a step. AdamW steps alike for any multiple of a gradient (but
for its epsilon), gradient descent is given the rate r / n, and clipping a norm n times as large.

AdamW takes its decay off every parameter: after the step s, p = s - r d s with the rate r and the
decay d. Biases and norms, which have one axis, are given s = p / (1 - r d) back; the optimizer of
this runtime knows no groups.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .library import build_artifacts, training_artifacts

__all__ = ["Plan", "Trainer"]

_ERRORS = 3
"""What the runtime reports: errors, not warnings."""

_MODELS = ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx")
_CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Plan:
    """What is trained, and how.

    Attributes:
        model: the path of the model.
        folder: takes the artifacts.
        trainable: the initializers to train.
        statistics: running means and variances that follow those of the batches.
        optimizer: `adamw` or `sgd`.
        weight_decay: of AdamW.
        clip: the largest norm of all gradients together; 0 leaves them as they are.
        accumulate: batches a step.
        keep_zeros: whether weights of two axes or more that are 0 stay 0.
        threads: of the runtime; 0 lets it choose.
    """

    model: str
    folder: str
    trainable: Sequence[str]
    statistics: Sequence[str] = ()
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    keep_zeros: bool = False
    threads: int = 0

    @property
    def names(self) -> list[str]:
        """Returns the initializers that change."""
        return [*self.trainable, *self.statistics]


class Trainer:
    """A model that is being trained."""

    def __init__(self, plan: Plan) -> None:
        """Builds the gradient graph and the optimizer."""
        training_artifacts()
        import onnxruntime

        onnxruntime.set_default_logger_severity(_ERRORS)  # what it warns of is of its own making
        from onnxruntime.training.api import CheckpointState, Module, Optimizer

        proto, path = onnx.load(plan.model), Path(plan.folder)
        build_artifacts(
            proto,
            path,
            requires_grad=list(plan.trainable),
            frozen_params=list(plan.statistics),
            optimizer=_optimizer(plan),
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = plan.threads
        options.log_severity_level = _ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        training, evaluation, optimizer = (str(path / name) for name in _MODELS)
        self._state = CheckpointState.load_checkpoint(str(path / _CHECKPOINT))
        self._module = Module(training, self._state, evaluation, session_options=options)
        self._optimizer = Optimizer(optimizer, self._module)
        self._plan = plan
        self._gathered = 0
        self._decay = plan.weight_decay if plan.optimizer == "adamw" else 0.0
        flat = {t.name for t in proto.graph.initializer if len(t.dims) < 2}
        self._undecayed = [name for name in plan.trainable if name in flat] if self._decay else []
        self._masks = _masks(proto, plan.trainable) if plan.keep_zeros else {}

    def train(self, arrays: dict[str, Any], rate: float, *, step: bool = True) -> float:
        """Returns the loss of a batch; its gradient is kept, and with a step used up."""
        self._module.train()
        loss = self._loss(arrays)
        self._gathered += 1
        if step:
            self._step(rate)
        return loss

    def evaluate(self, arrays: dict[str, Any]) -> float:
        """Returns the loss of a batch; nothing changes."""
        self._module.eval()
        return self._loss(arrays)

    def save(self, path: str) -> None:
        """Writes what has changed; the file appears whole or not at all."""
        part = f"{path}.part.npz"
        np.savez(part, *(self._state.parameters[name].data for name in self._plan.names))
        os.replace(part, path)

    def keep(self, folder: str, weights: str) -> None:
        """Leaves the models and a checkpoint in a folder, from which training can go on.

        Args:
            folder: exists.
            weights: what was saved before, and goes into the checkpoint.
        """
        from onnxruntime.training.api import CheckpointState

        with np.load(weights) as stored:
            for i, name in enumerate(self._plan.names):
                self._state.parameters[name] = stored[f"arr_{i}"]
        CheckpointState.save_checkpoint(self._state, str(Path(folder) / _CHECKPOINT))
        for name in _MODELS:
            shutil.copy2(Path(self._plan.folder) / name, Path(folder) / name)

    def _step(self, rate: float) -> None:
        """Takes a step against what the gradients have added up to."""
        shared = rate / self._gathered if self._plan.optimizer == "sgd" else rate
        self._optimizer.set_learning_rate(shared)
        self._optimizer.step()
        self._module.lazy_reset_grad()
        self._gathered = 0
        parameters = self._state.parameters
        shrunk = np.float32(1 - rate * self._decay)
        for name in self._undecayed:
            parameters[name] = parameters[name].data / shrunk
        for name, mask in self._masks.items():
            parameters[name] = parameters[name].data * mask

    def _loss(self, arrays: dict[str, Any]) -> float:
        """Returns what the model says of a batch in its present mode."""
        return float(self._module(*(arrays[name] for name in self._module.input_names())))


def _optimizer(plan: Plan) -> Any:  # noqa: ANN401 - untyped library
    """Returns the block of the optimizer."""
    from onnxruntime.training.onnxblock import optim

    clip = optim.ClipGradNorm(plan.clip * plan.accumulate) if plan.clip else None
    blocks: dict[str, Callable[[], Any]] = {
        "adamw": lambda: optim.AdamW(weight_decay=plan.weight_decay, clip_grad=clip),
        "sgd": lambda: optim.SGD(clip_grad=clip),
    }
    return blocks[plan.optimizer]()


def _masks(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Returns 0 where a weight is 0 and 1 elsewhere, for the weights of which some are 0."""
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {name: arrays[name] for name in names if arrays[name].ndim > 1}
    return {name: (a != 0).astype(np.float32) for name, a in found.items() if not a.all()}
