"""The worker itself: its steps against AdamW and gradient descent in numpy."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.losses import Goal, with_loss
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.graph import save

Weights = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

RNG = np.random.default_rng(2)
W, B = RNG.normal(size=(3, 2)).astype("f4"), RNG.normal(size=2).astype("f4")
LINE = """
<ir_version: 8, opset_import: ["" : 17]>
line (float[4, 3] x) => (float[4, 2] y) { y = Gemm (x, w, b) }
"""
BATCHES = [
    {"x": RNG.normal(size=(4, 3)).astype("f4"), "y.target": RNG.normal(size=(4, 2)).astype("f4")}
    for _ in range(5)
]
RATES = [0.02, 0.05, 0.03, 0.01, 0.004]


@pytest.fixture
def trainer(runtime: TrainingRuntime, tmp_path: Path) -> Iterator[RemoteTrainer]:
    model = ir.from_proto(proto_of(LINE, {"w": W, "b": B}))
    save(with_loss(model, [Goal("y", "mse")]), tmp_path / "line.onnx")
    with RemoteTrainer(runtime, tmp_path) as trainer:
        yield trainer


def build(
    trainer: RemoteTrainer, folder: Path, optimizer: str, decay: float = 0.0, **details: object
) -> None:
    trainer.ask(
        "build",
        model=str(folder / "line.onnx"),
        folder=str(folder),
        trainable=["w", "b"],
        optimizer=optimizer,
        weight_decay=decay,
        threads=1,
        **details,
    )


def weights(trainer: RemoteTrainer, folder: Path) -> Weights:
    trainer.ask("save", path=str(folder / "best.npz"))
    with np.load(folder / "best.npz") as stored:
        return stored["arr_0"], stored["arr_1"]


def loss_and_gradients(
    w: npt.NDArray[Any], b: npt.NDArray[Any], batch: Arrays
) -> tuple[float, list[Any]]:
    """Returns mean((x w + b - t)^2), and its gradients after w and b."""
    off = batch["x"].astype(np.float64) @ w + b - batch["y.target"]
    slope = 2 * off / off.size
    return float(np.mean(off**2)), [batch["x"].T @ slope, slope.sum(axis=0)]


def adamw(decays: tuple[float, float]) -> Iterator[Weights]:
    """Yields the weights after each step of AdamW, with a decay of its own for each."""
    b1, b2, eps = 0.9, 0.999, 1e-6
    values: list[Any] = [W.astype(np.float64), B.astype(np.float64)]
    m: list[Any] = [0.0, 0.0]
    v: list[Any] = [0.0, 0.0]
    for t, (batch, rate) in enumerate(zip(BATCHES, RATES, strict=True), start=1):
        _, gradients = loss_and_gradients(values[0], values[1], batch)
        for i, g in enumerate(gradients):
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            scale = rate * np.sqrt(1 - b2**t) / (1 - b1**t)
            values[i] = values[i] - scale * m[i] / (np.sqrt(v[i]) + eps)
            values[i] = values[i] * (1 - rate * decays[i])
        yield values[0], values[1]


def gradient_descent() -> Iterator[Weights]:
    values: list[Any] = [W.astype(np.float64), B.astype(np.float64)]
    for batch, rate in zip(BATCHES, RATES, strict=True):
        _, gradients = loss_and_gradients(values[0], values[1], batch)
        values = [a - rate * g for a, g in zip(values, gradients, strict=True)]
        yield values[0], values[1]


@pytest.mark.parametrize(
    ("optimizer", "decay", "reference"),
    [
        ("adamw", 0.0, lambda: adamw((0.0, 0.0))),
        ("adamw", 2.0, lambda: adamw((2.0, 0.0))),
        ("sgd", 2.0, gradient_descent),
    ],
)
def test_its_steps_are_those_of_the_optimizer_and_only_weights_decay(
    trainer: RemoteTrainer,
    tmp_path: Path,
    optimizer: str,
    decay: float,
    reference: Callable[[], Iterator[Weights]],
) -> None:
    build(trainer, tmp_path, optimizer, decay)
    before: Weights = (W.astype(np.float64), B.astype(np.float64))
    for batch, rate, wanted in zip(BATCHES, RATES, reference(), strict=True):
        said = trainer.ask("train", batch=trainer.place(batch), rate=rate, step=True)["loss"]
        assert said == pytest.approx(loss_and_gradients(*before, batch)[0], rel=1e-4)
        for found, want in zip(weights(trainer, tmp_path), wanted, strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
        before = wanted


def test_gradients_of_several_batches_make_one_step(trainer: RemoteTrainer, tmp_path: Path) -> None:
    """Gradient descent goes by their mean; a step after fewer batches goes by the mean of those."""
    build(trainer, tmp_path, "sgd")
    w, b = W.astype(np.float64), B.astype(np.float64)
    for chosen in (BATCHES[:3], BATCHES[3:]):
        gradients = [loss_and_gradients(w, b, batch)[1] for batch in chosen]
        for batch in chosen:
            last = batch is chosen[-1]
            trainer.ask("train", batch=trainer.place(batch), rate=0.05, step=last)
        w = w - 0.05 * np.mean([each[0] for each in gradients], axis=0)
        b = b - 0.05 * np.mean([each[1] for each in gradients], axis=0)
        for found, want in zip(weights(trainer, tmp_path), (w, b), strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gradient_is_no_longer_than_it_may_be(
    trainer: RemoteTrainer, tmp_path: Path, accumulate: int
) -> None:
    build(trainer, tmp_path, "sgd", clip=0.1)
    for place in range(accumulate):
        last = place + 1 == accumulate
        trainer.ask("train", batch=trainer.place(BATCHES[0]), rate=0.5, step=last)
    _, gradients = loss_and_gradients(W, B, BATCHES[0])
    length = np.sqrt(sum(np.sum(g**2) for g in gradients))
    assert length > 0.2  # else nothing is clipped
    for found, old, g in zip(weights(trainer, tmp_path), (W, B), gradients, strict=True):
        np.testing.assert_allclose(found, old - 0.5 * 0.1 / length * g, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_is_zero_stays_zero_where_it_is_asked_to(
    runtime: TrainingRuntime, tmp_path: Path, optimizer: str
) -> None:
    sparse, bias = np.where([[1, 0], [0, 1], [1, 1]], W, 0).astype("f4"), np.zeros(2, "f4")
    model = ir.from_proto(proto_of(LINE, {"w": sparse, "b": bias}))
    save(with_loss(model, [Goal("y", "mse")]), tmp_path / "line.onnx")
    with RemoteTrainer(runtime, tmp_path) as trainer:
        build(trainer, tmp_path, optimizer, 0.1, keep_zeros=True)
        for batch, rate in zip(BATCHES, RATES, strict=True):
            trainer.ask("train", batch=trainer.place(batch), rate=rate, step=True)
        w, b = weights(trainer, tmp_path)
    np.testing.assert_array_equal(w == 0, sparse == 0)
    assert not np.signbit(w[w == 0]).any()  # 0.0 bit by bit, whatever the step would have been
    assert not np.any(w[sparse != 0] == sparse[sparse != 0])
    assert np.all(b != 0)


def test_looking_changes_nothing(trainer: RemoteTrainer, tmp_path: Path) -> None:
    build(trainer, tmp_path, "adamw")
    for batch in BATCHES:
        said = trainer.ask("evaluate", batch=trainer.place(batch))["loss"]
        assert said == pytest.approx(loss_and_gradients(W, B, batch)[0], rel=1e-5)
    np.testing.assert_array_equal(weights(trainer, tmp_path)[0], W)


def test_ctrl_c_is_for_the_parent(trainer: RemoteTrainer, tmp_path: Path) -> None:
    build(trainer, tmp_path, "sgd")
    os.kill(trainer.pid, signal.SIGINT)
    np.testing.assert_array_equal(weights(trainer, tmp_path)[1], B)


@pytest.mark.parametrize(
    ("verb", "details", "words"),
    [
        ("save", {"path": "x.npz"}, "ValueError: there is nothing to save yet; build comes first"),
        ("build", {"mode": 1}, "Plan.__init__() got an unexpected keyword argument 'mode'"),
    ],
)
def test_an_order_that_makes_no_sense_is_its_end(
    trainer: RemoteTrainer, verb: str, details: dict[str, object], words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        trainer.ask(verb, **details)
    assert words in str(caught.value)
