"""A model that is being trained by gradients of the training build of ONNX Runtime.

The model has one output, the loss, so that the targets are inputs like others. Gradients of n
batches add up before a step, which goes by their mean.

The training API of the runtime runs a model on one core, and its optimizer has neither momentum nor
groups of parameters. So its artifacts are run as functions (`functions.py`), in nodes that are
faster (`quicker.py`), by several threads (`lanes.py`), and steps are taken here (`optimizers.py`).
The artifacts themselves stay as they are, for who goes on with them.
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

from .functions import evaluation_function, training_function
from .lanes import Lanes
from .library import build_artifacts, training_artifacts
from .optimizers import OPTIMIZERS, clipped
from .quicker import block_size

__all__ = ["Plan", "Trainer"]

_MODELS = ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx")
_CHECKPOINT = "checkpoint"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """What is trained, and how.

    Attributes:
        model: the path of the model.
        folder: takes the artifacts.
        trainable: the initializers to train.
        statistics: running means and variances that follow those of the batches.
        optimizer: `adamw` or `sgd`.
        momentum: of `sgd`.
        weight_decay: of `adamw`.
        clip: the largest norm of all gradients together; 0 leaves them as they are.
        keep_zeros: whether weights of two axes or more that are 0 stay 0.
        lanes: how many shares of a batch are computed at once; the model is of the sizes of one.
        threads: of all of them; 0 takes all there are.
    """

    model: str
    folder: str
    trainable: Sequence[str]
    statistics: Sequence[str] = ()
    optimizer: str = "adamw"
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0
    keep_zeros: bool = False
    lanes: int = 1
    threads: int = 0

    @property
    def names(self) -> list[str]:
        """Returns the initializers that change."""
        return [*self.trainable, *self.statistics]


class Trainer:
    """A model that is being trained."""

    def __init__(self, plan: Plan) -> None:
        """Builds the artifacts, and what runs them."""
        proto, folder = onnx.load(plan.model), Path(plan.folder)
        build_artifacts(
            proto,
            folder,
            requires_grad=list(plan.trainable),
            frozen_params=list(plan.statistics),
            optimizer=_optimizer_model(plan),
        )
        self._plan = plan
        self._weights = _initial(proto, plan.names)
        block = block_size()
        training, evaluation = (onnx.load(folder / name) for name in _MODELS[:2])
        self._function = training_function(training, plan.statistics, block)
        self._training = Lanes(self._function, plan.lanes, plan.threads)
        self._asked = evaluation_function(evaluation, block)
        self._evaluation = Lanes(self._asked, plan.lanes, plan.threads)
        self._step = OPTIMIZERS[plan.optimizer](decay=plan.weight_decay, momentum=plan.momentum)
        self._sums: Arrays = {}
        self._gathered = 0
        self._masks = _masks(self._weights, plan.trainable) if plan.keep_zeros else {}

    def train(self, arrays: dict[str, Any], rate: float, *, step: bool = True) -> float:
        """Returns the loss of a batch; its gradient is kept, and with a step used up."""
        found, function = self._training(self._weights, arrays), self._function
        for name, output in function.statistics.items():
            self._weights[name] = found[output]
        gradients = {name: found[output] for name, output in function.gradients.items()}
        before = self._sums
        self._sums = {n: before[n] + g if before else g for n, g in gradients.items()}
        self._gathered += 1
        if step:
            self._take_step(rate)
        return float(found[function.loss])

    def evaluate(self, arrays: dict[str, Any]) -> float:
        """Returns the loss of a batch; nothing changes."""
        return float(self._evaluation(self._weights, arrays)[self._asked.loss])

    def save(self, path: str) -> None:
        """Writes what has changed; the file appears whole or not at all."""
        part = f"{path}.part.npz"
        np.savez(part, *(self._weights[name] for name in self._plan.names))
        os.replace(part, path)

    def keep(self, folder: str, weights: str) -> None:
        """Leaves the models and a checkpoint in a folder, from which training can go on.

        Args:
            folder: exists.
            weights: what was saved before, and goes into the checkpoint.
        """
        from onnxruntime.training.api import CheckpointState, Module

        source = Path(self._plan.folder)
        state = CheckpointState.load_checkpoint(str(source / _CHECKPOINT))
        module = Module(str(source / _MODELS[0]), state)  # a checkpoint without one cannot change
        with np.load(weights) as stored:
            for i, name in enumerate(self._plan.names):
                state.parameters[name] = stored[f"arr_{i}"]
        del module
        CheckpointState.save_checkpoint(state, str(Path(folder) / _CHECKPOINT))
        for name in _MODELS:
            shutil.copy2(source / name, Path(folder) / name)

    def _take_step(self, rate: float) -> None:
        """Takes a step against the mean of the gradients that have been gathered."""
        share = np.float32(1 / self._gathered)
        means = {name: total * share for name, total in self._sums.items()}
        self._sums, self._gathered = {}, 0
        self._step(self._weights, clipped(means, self._plan.clip), rate)
        for name, zeros in self._masks.items():
            self._weights[name][zeros] = 0


def _optimizer_model(plan: Plan) -> Any:  # noqa: ANN401 - untyped library
    """Returns the block of the optimizer, for who goes on with the artifacts."""
    training_artifacts()
    from onnxruntime.training.onnxblock import optim

    clip = optim.ClipGradNorm(plan.clip) if plan.clip else None
    blocks: dict[str, Callable[[], Any]] = {
        "adamw": lambda: optim.AdamW(weight_decay=plan.weight_decay, clip_grad=clip),
        "sgd": lambda: optim.SGD(clip_grad=clip),
    }
    return blocks[plan.optimizer]()


def _initial(model: onnx.ModelProto, names: Sequence[str]) -> Arrays:
    """Returns copies of some initializers."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {name: np.array(onnx.numpy_helper.to_array(tensors[name])) for name in names}


def _masks(weights: Arrays, names: Sequence[str]) -> Arrays:
    """Returns where weights are 0, of those of two axes or more of which some are."""
    found = {name: weights[name] == 0 for name in names if weights[name].ndim > 1}
    return {name: zeros for name, zeros in found.items() if zeros.any()}
