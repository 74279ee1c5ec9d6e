"""Slimming: the scales of BatchNormalization become small while a model learns."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

import onnxtrim
from finetune.twin.checking import weight_of
from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.cli import main
from onnxtrim.config import DataConfig
from onnxtrim.errors import UsageError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import BatchNorm, TuneConfig
from onnxtrim.finetune.losses import Slimming
from onnxtrim.finetune.slim import size_of, slimming_of
from onnxtrim.finetune.tune import Tuned, tune
from onnxtrim.finetune.twin.parameters import scales_of
from onnxtrim.graph import normalize

NET = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
  n = BatchNormalization (c, s, b, m, v)
  r = Relu (n)
  p = AveragePool <kernel_shape = [6, 6]> (r)
  f = Flatten (p)
  y = Gemm (f, w, d)
}
"""
PLAIN = NET.replace("n = BatchNormalization (c, s, b, m, v)", "n = Add (c, e)")
RNG = np.random.default_rng(4)
X = RNG.normal(size=(160, 2, 6, 6)).astype("f4")
LABELS = (X[:, 0].mean(axis=(1, 2)) > X[:, 1].mean(axis=(1, 2))).astype(np.int64)
CONFIG = TuneConfig(epochs=6, lr=0.02, slim=0.1)
READING = DataConfig(batch_size=16, threads=1)


def proto() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    shapes = {"k": (6, 2, 3, 3), "b": (6,), "m": (6,), "w": (6, 3), "d": (3,)}
    weights: Arrays = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    ones = np.ones(6, np.float32)
    return proto_of(NET, weights | {"s": ones, "v": 9 * ones})


def plain() -> onnx.ModelProto:
    weights: Arrays = {"k": np.ones((6, 2, 3, 3), "f4"), "e": np.ones((6, 1, 1), "f4")}
    return proto_of(PLAIN, weights | {"w": np.ones((6, 3), "f4"), "d": np.ones(3, "f4")})


def net() -> ir.Model:
    return normalize(ir.from_proto(proto()))


def data(*, labelled: bool = True, reading: DataConfig = READING) -> Dataset:
    source = (X, LABELS) if labelled else X
    return open_data(source, input_specs(net()), reading)


def tuned(
    runtime: TrainingRuntime, config: TuneConfig, reading: DataConfig = READING, **how: bool
) -> Tuned:
    return tune(net(), None, data(reading=reading, **how), config, reading, runtime)


def sizes(result: Tuned) -> float:
    return size_of(result.model, ["s"])


def test_scales_are_those_of_batch_normalization() -> None:
    assert scales_of(net()) == ("s",)
    assert slimming_of(net(), TuneConfig()) is None
    assert slimming_of(net(), CONFIG) == Slimming(("s",), 0.1)
    assert size_of(net(), ["s"]) == 6


def test_a_model_without_any_is_refused_with_advice() -> None:
    with pytest.raises(UsageError) as caught:
        slimming_of(normalize(ir.from_proto(plain())), CONFIG)
    said = str(caught.value)
    assert said.startswith("--slim 0.1: the model has no BatchNormalization")
    assert "TrainingMode.PRESERVE" in said
    assert "--criterion l1" in said


@pytest.mark.parametrize("bn", ["frozen", "train"])
@pytest.mark.parametrize("threads", [1, 2])
def test_scales_get_smaller_however_norms_are_trained(
    runtime: TrainingRuntime, bn: BatchNorm, threads: int
) -> None:
    """With two threads a batch is learned from in two shares, each with the whole penalty."""
    reading = replace(READING, threads=threads, batch_size=64 if bn == "train" else 16)
    config = replace(CONFIG, bn=bn, epochs=72 if bn == "train" else 12)  # steps of either
    plain, slimmed = (
        tuned(runtime, replace(config, slim=slim), reading) for slim in (0.0, config.slim)
    )
    assert sizes(slimmed) < 0.8 * min(sizes(plain), 6)
    assert slimmed.warnings == ()
    if bn == "frozen":  # the worker and the current runtime add the same
        assert slimmed.looks[-1].loss == pytest.approx(slimmed.after, rel=0.05)


def test_two_shares_of_a_batch_give_what_one_gives(runtime: TrainingRuntime) -> None:
    config = replace(CONFIG, bn="frozen", epochs=1)
    one, two = (tuned(runtime, config, replace(READING, threads=threads)) for threads in (1, 2))
    np.testing.assert_allclose(
        weight_of(one.model, "s"), weight_of(two.model, "s"), rtol=1e-3, atol=1e-5
    )


def test_the_last_weights_are_taken_and_patience_does_not_end_it(
    runtime: TrainingRuntime,
) -> None:
    """The step is so long that the loss becomes worse, by which nothing would have been learned."""
    config = replace(CONFIG, lr=0.5, slim=0.001, epochs=5, patience=1, weight_decay=0.0)
    result = tuned(runtime, config)
    assert len(result.looks) == 6
    losses = [look.loss for look in result.looks]
    assert min(losses) < losses[-1], "else this shows nothing"
    assert result.model is not None
    assert not np.array_equal(weight_of(result.model, "s"), np.ones(6))
    assert result.after == pytest.approx(losses[-1], rel=0.2)


def test_without_labels_a_model_slims_beside_itself(runtime: TrainingRuntime) -> None:
    result = tuned(runtime, CONFIG, labelled=False)
    assert result.learned_from == ("teacher",)
    assert sizes(result) < 0.95 * 6
    with pytest.raises(UsageError, match="there is nothing to learn from"):
        tuned(runtime, replace(CONFIG, slim=0.0), labelled=False)


@pytest.mark.usefixtures("installed")
def test_from_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx.save(proto(), tmp_path / "net.onnx")
    folder = tmp_path / "data"
    for label in (0, 1):
        (folder / str(label)).mkdir(parents=True)
    for place, (image, label) in enumerate(zip(X, LABELS, strict=True)):
        np.save(folder / str(label) / f"{place:03}.npy", image)
    options = ["--slim", "0.05", "--epochs", "8", "--lr", "0.02", "--batch-size", "16", "--json"]
    assert main(["finetune", str(tmp_path / "net.onnx"), "--data", str(folder), *options]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["learned_from"] == ["labels"]
    assert said["settings"]["slim"] == 0.05
    assert said["scales"]["before"] == 6
    assert said["scales"]["after"] < 5.5
    found = onnx.load(tmp_path / "net-tuned.onnx")
    (scale,) = (t for t in found.graph.initializer if t.name == "s")
    total = np.abs(onnx.numpy_helper.to_array(scale)).sum()
    assert said["scales"]["after"] == pytest.approx(float(total), rel=1e-6)


@pytest.mark.usefixtures("installed")
def test_before_a_cut_what_cannot_be_slimmed_is_said() -> None:
    with pytest.raises(UsageError, match=r"--slim 0\.1: the model has no BatchNormalization"):
        onnxtrim.prune(plain(), X, ratio=0.5, finetune=True, slim=0.1)
