"""How a batch is divided among threads, and that it makes no difference to what is learned."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.calibration import input_specs
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.goals import Aim
from onnxtrim.finetune.lanes import goes_by_batches, lanes_of
from onnxtrim.finetune.losses import Goal, with_loss
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.graph import load, normalize, save

RNG = np.random.default_rng(3)
PLAIN = '<ir_version: 8, opset_import: ["": 17]> g (float[{n},2,4,4] x) => (float[{n},3,4,4] y) '
CONV = PLAIN + "{{ y = Conv <pads: ints = [1, 1, 1, 1]> (x, w) }}"
NORMED = PLAIN + (
    "{{ a = Conv <pads: ints = [1, 1, 1, 1]> (x, w) "
    "b = BatchNormalization (a, s, z, m, v) y = Relu (b) }}"
)
WEIGHTS: Arrays = {
    "w": RNG.normal(size=(3, 2, 3, 3)).astype("f4"),
    "s": np.array([1, 0.5, 2], "f4"),
    "z": np.array([0.1, 0, -0.1], "f4"),
    "m": np.zeros(3, "f4"),
    "v": np.ones(3, "f4"),
}


def model(text: str, size: int | str) -> ir.Model:
    names = WEIGHTS if "BatchNormalization" in text else {"w"}
    return normalize(load(proto_of(text.format(n=size), {n: WEIGHTS[n] for n in names})))


def lanes(
    text: str, size: int, *, batch: int | str = "N", threads: int = 4, **config: object
) -> int:
    student = model(text, batch)
    aim = Aim((Goal("y", "mse"),), "mse")
    tuning = TuneConfig(**config)  # type: ignore[arg-type]
    return lanes_of(student, input_specs(student), aim, tuning, size, threads)


@pytest.mark.parametrize(
    ("size", "threads", "wanted"), [(64, 4, 4), (64, 1, 1), (16, 4, 2), (20, 4, 2), (7, 4, 1)]
)
def test_shares_are_equal_and_have_eight_samples_at_least(
    size: int, threads: int, wanted: int
) -> None:
    assert lanes(CONV, size, threads=threads) == wanted


def test_normalisations_by_batches_take_shares_of_32() -> None:
    assert lanes(NORMED, 64) == 2
    assert lanes(NORMED, 32) == 1
    assert lanes(NORMED, 31, threads=2) == 1
    assert lanes(NORMED, 64, bn="frozen") == 4
    assert lanes(NORMED, 16, bn="train") == 1


def test_what_need_not_be_divisible_is_left_whole() -> None:
    assert lanes(CONV, 64, batch=64) == 1
    assert lanes(CONV, 64, features=1.0) == 1
    assert lanes(CONV, 64, keep_artifacts="kept") == 1


def test_normalisations_go_by_batches_that_are_large_enough() -> None:
    assert [goes_by_batches(TuneConfig(), size) for size in (31, 32)] == [False, True]
    assert goes_by_batches(TuneConfig(bn="train"), 2)
    assert not goes_by_batches(TuneConfig(bn="frozen"), 64)


def trained(
    runtime: TrainingRuntime, folder: Path, text: str, lanes: int, batches: list[Arrays]
) -> tuple[list[float], Arrays]:
    """Returns the losses of steps in so many lanes, and the weights after them."""
    moving = ("m", "v") if "BatchNormalization" in text else ()
    trainable = ("w", "s", "z") if moving else ("w",)
    folder.mkdir()
    goal = Goal("y", "mse")
    save(with_loss(model(text, 8 // lanes), [goal]), folder / "twin.onnx")
    with RemoteTrainer(runtime, folder) as trainer:
        trainer.ask(
            "build",
            model=str(folder / "twin.onnx"),
            folder=str(folder),
            trainable=trainable,
            statistics=moving,
            lanes=lanes,
        )
        losses = [
            trainer.ask(verb, batch=trainer.place(batch), **order)["loss"]
            for batch in batches
            for verb, order in (("train", {"rate": 0.01, "step": True}), ("evaluate", {}))
        ]
        trainer.ask("save", path=str(folder / "best.npz"))
    with np.load(folder / "best.npz") as stored:
        names = (*trainable, *moving)
        return losses, {name: stored[f"arr_{i}"] for i, name in enumerate(names)}


def batches() -> list[Arrays]:
    sizes = {"x": (8, 2, 4, 4), "y.target": (8, 3, 4, 4)}
    return [{n: RNG.normal(size=s).astype("f4") for n, s in sizes.items()} for _ in range(4)]


def test_lanes_learn_what_one_learns(runtime: TrainingRuntime, tmp_path: Path) -> None:
    given = batches()
    losses, weights = trained(runtime, tmp_path / "1", CONV, 1, given)
    for count in (2, 4):
        found, divided = trained(runtime, tmp_path / str(count), CONV, count, given)
        np.testing.assert_allclose(found, losses, rtol=1e-5)
        np.testing.assert_allclose(divided["w"], weights["w"], rtol=0, atol=1e-5)
    assert np.median(np.abs(weights["w"] - WEIGHTS["w"])) > 0.02  # four steps of 0.01


def test_running_statistics_are_the_mean_of_those_of_the_lanes(
    runtime: TrainingRuntime, tmp_path: Path
) -> None:
    """They go a tenth of the way to those of a batch; the variance is the mean of both halves'."""
    (batch,) = batches()[:1]
    _, weights = trained(runtime, tmp_path / "2", NORMED, 2, [batch])
    padded = np.pad(batch["x"].astype("f8"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    made = np.einsum("nchwij,mcij->nmhw", windows, WEIGHTS["w"].astype("f8"))
    halves = [made[:4], made[4:]]
    np.testing.assert_allclose(weights["m"], 0.1 * made.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    variances = [half.var((0, 2, 3)) for half in halves]
    np.testing.assert_allclose(weights["v"], 0.9 + 0.1 * np.mean(variances, axis=0), rtol=1e-4)
    assert np.abs(np.mean(variances, axis=0) - made.var((0, 2, 3))).max() > 1e-2
