"""Trains a model one batch at a time, as it is told: a line of JSON in, a line of JSON out.

    build      model, folder, trainable, optimizer, weight_decay, threads    -> {}
    train      rate, batch (a place in shared memory)                        -> loss before the step
    evaluate   batch                                                         -> loss
    save       path (an .npz: the weights in the order of `trainable`)       -> {}

The model has one output, the loss, so that the targets are inputs like others. It ends when there
is nothing more to read, which is also what it sees of the death of its parent. What goes wrong goes
to standard error, as an exception that ends the process.

AdamW takes its decay off every parameter: after the step s, p = s - r d s with the rate r and the
decay d. Biases and norms, which have one axis, are given s = p / (1 - r d) back; the optimizer of
this runtime knows no groups.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import onnx

from .library import build_artifacts, training_artifacts
from .memory import SharedArrays

__all__ = ["Trainer", "answer_orders"]

_ERRORS = 3
"""What the runtime reports: errors, not warnings."""


class Trainer:
    """A model that is being trained.

    Args:
        model: the path of the model.
        folder: takes the artifacts.
        trainable: the initializers to train.
        optimizer: `adamw` or `sgd`.
        weight_decay: of AdamW.
        threads: of the runtime; 0 lets it choose.
    """

    def __init__(
        self,
        model: str,
        folder: str,
        trainable: list[str],
        optimizer: str,
        weight_decay: float,
        threads: int,
    ) -> None:
        """Builds the gradient graph and the optimizer."""
        training_artifacts()
        import onnxruntime

        onnxruntime.set_default_logger_severity(_ERRORS)  # what it warns of is of its own making
        from onnxruntime.training import onnxblock
        from onnxruntime.training.api import CheckpointState, Module, Optimizer

        proto, path = onnx.load(model), Path(folder)
        flat = {t.name for t in proto.graph.initializer if len(t.dims) < 2}
        optimizers: dict[str, Callable[[], Any]] = {
            "adamw": lambda: onnxblock.optim.AdamW(weight_decay=weight_decay),
            "sgd": onnxblock.optim.SGD,
        }
        build_artifacts(proto, path, requires_grad=trainable, optimizer=optimizers[optimizer]())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._state = CheckpointState.load_checkpoint(str(path / "checkpoint"))
        self._module = Module(
            str(path / "training_model.onnx"),
            self._state,
            str(path / "eval_model.onnx"),
            session_options=options,
        )
        self._optimizer = Optimizer(str(path / "optimizer_model.onnx"), self._module)
        self._trainable = trainable
        self._decay = weight_decay if optimizer == "adamw" else 0.0
        self._undecayed = [name for name in trainable if name in flat] if self._decay else []

    def train(self, arrays: dict[str, Any], rate: float) -> float:
        """Returns the loss of a batch, after a step against its gradient."""
        self._module.train()
        loss = self._loss(arrays)
        self._optimizer.set_learning_rate(rate)
        self._optimizer.step()
        self._module.lazy_reset_grad()
        shrunk = np.float32(1 - rate * self._decay)
        for name in self._undecayed:
            self._state.parameters[name] = self._state.parameters[name].data / shrunk
        return loss

    def evaluate(self, arrays: dict[str, Any]) -> float:
        """Returns the loss of a batch; nothing changes."""
        self._module.eval()
        return self._loss(arrays)

    def save(self, path: str) -> None:
        """Writes the trained weights; the file appears whole or not at all."""
        weights = [self._state.parameters[name].data for name in self._trainable]
        part = f"{path}.part.npz"
        np.savez(part, *weights)
        os.replace(part, path)

    def _loss(self, arrays: dict[str, Any]) -> float:
        """Returns what the model says of a batch in its present mode."""
        return float(self._module(*(arrays[name] for name in self._module.input_names())))


def answer_orders(orders: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yields what is to be said to each order, a line of JSON."""
    shared = SharedArrays()
    trainer: Trainer | None = None
    for line in orders:
        order = json.loads(line)
        verb, said = order.pop("do"), {}
        if verb == "build":
            trainer = Trainer(**order)
        elif trainer is None:
            raise ValueError(f"there is nothing to {verb} yet; build comes first")
        elif verb == "train":
            said["loss"] = trainer.train(shared.views(order["batch"]), order["rate"])
        elif verb == "evaluate":
            said["loss"] = trainer.evaluate(shared.views(order["batch"]))
        elif verb == "save":
            trainer.save(order["path"])
        else:
            raise ValueError(f"there is no order {verb!r}")
        yield said


@contextmanager
def _own_output() -> Iterator[TextIO]:
    """Yields what answers are written to; whatever libraries print goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        yield output


def main() -> None:
    """Answers orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent to say what then
    with _own_output() as output:
        for said in answer_orders(sys.stdin):
            output.write(json.dumps(said) + "\n")
            output.flush()


if __name__ == "__main__":
    main()
