"""What is learned, and from what: sizes of batches, statistics, weights that are put in place."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from finetune.stand_ins import NOBODY
from finetune.twin.checking import weight_of
from onnxtrim.calibration import Dataset, input_specs, open_data, split
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.study import Study, study_of, with_weights
from onnxtrim.finetune.tune import tune
from onnxtrim.graph import normalize
from onnxtrim.graph.runtime import Runner

RNG = np.random.default_rng(8)
READING = DataConfig(batch_size=4, threads=1)
OPEN = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 1, H, W] x) => (float[N, 2, P, Q] y) {
  c = Conv <pads = [1, 1, 1, 1]> (x, k)
  m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
  y = Conv (m, w)
}
"""
CALLED = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 1, H, W] x, float z) => (float[N, 2, P, Q] y) {
  c = Conv <pads = [1, 1, 1, 1]> (x, k)
  m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
  d = Conv (m, w)
  y = Mul (d, z)
}
"""
"""An input without a batch, so that data come in calls."""


def net(seed: int, text: str = OPEN) -> ir.Model:
    """Returns a model of open sizes, in which a gradient must come by a MaxPool."""
    rng = np.random.default_rng(seed)
    shapes = {"k": (3, 1, 3, 3), "w": (2, 3, 1, 1)}
    weights = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return normalize(ir.from_proto(proto_of(text, weights)))


def samples(count: int) -> Dataset:
    x = RNG.normal(size=(count, 1, 6, 4)).astype("f4")
    return open_data(x, input_specs(net(0)), READING)


def calls(folder: Path, *sizes: tuple[int, ...]) -> Dataset:
    """Returns data in the form that models are published with, one call a folder."""
    for number, size in enumerate(sizes):
        call = folder / f"test_data_set_{number}"
        call.mkdir()
        for place, array in enumerate((RNG.normal(size=size), np.array(1.0))):
            tensor = ir.to_proto(ir.tensor(array.astype("f4"), name="xz"[place]))
            (call / f"input_{place}.pb").write_bytes(tensor.SerializeToString())
    return open_data(folder, input_specs(net(0, CALLED)), READING)


def study(data: Dataset, folder: Path, text: str = OPEN) -> Study:
    return study_of(net(1, text), net(0, text), data, TuneConfig(), READING, NOBODY, folder)


@pytest.mark.parametrize("count", [10, 30, 50, 80])
def test_the_loss_is_of_the_samples_held_out_and_nothing_else(count: int, tmp_path: Path) -> None:
    data = samples(count)
    ((x, number),) = ((batch.inputs, batch.count) for batch in split(data, 0.1)[1].batches(99))
    right, found = (Runner(net(seed))(x)["y"] for seed in (0, 1))
    wanted = np.mean((found - right) ** 2) / np.var(right)
    assert number == count // 10
    assert study(data, tmp_path).loss(net(1)) == pytest.approx(wanted, rel=1e-5)


def test_sizes_that_a_model_leaves_open_are_those_of_the_data(tmp_path: Path) -> None:
    found = study(samples(20), tmp_path)
    assert found.alike
    assert found.size == 4
    sample = found.sample()
    assert {name: array.shape for name, array in sample.items()} == {"x": (4, 1, 6, 4)}
    (made,) = found.examined(net(1), sample).graph.outputs
    assert made.shape == ir.Shape([4, 2, 3, 2])


@pytest.mark.parametrize("last", [(1, 1, 6, 6), (1, 1, 8, 6)])
def test_calls_have_one_size_or_several(tmp_path: Path, last: tuple[int, ...]) -> None:
    found = study(calls(tmp_path, *[(1, 1, 6, 6)] * 11, last), tmp_path, CALLED)
    assert found.alike == (last == (1, 1, 6, 6))
    (made,) = found.examined(net(1, CALLED), found.sample()).graph.outputs
    assert made.shape is not None
    assert (made.shape == ir.Shape([1, 2, 3, 3])) == found.alike


@pytest.mark.parametrize("in_calls", [False, True])
def test_what_lies_before_a_pooling_of_open_sizes_learns(
    runtime: TrainingRuntime, tmp_path: Path, in_calls: bool
) -> None:
    data = calls(tmp_path, *[(1, 1, 6, 4)] * 30) if in_calls else samples(60)
    text = CALLED if in_calls else OPEN
    config = TuneConfig(epochs=6, lr=0.03)
    result = tune(net(1, text), net(0, text), data, config, READING, runtime)
    assert result.untrained == ()
    assert result.after < result.before / 2
    assert not np.array_equal(weight_of(result.model, "k"), weight_of(net(1), "k"))


def test_in_calls_of_several_sizes_what_has_a_gradient_learns(
    runtime: TrainingRuntime, tmp_path: Path
) -> None:
    """A cut before the MaxPool lets both kernels learn, each from the teacher beside it."""
    data = calls(tmp_path, *[(1, 1, 6, 4), (1, 1, 4, 8)] * 15)
    config = TuneConfig(epochs=6, lr=0.03)
    result = tune(net(1, CALLED), net(0, CALLED), data, config, READING, runtime)
    (cut,) = result.cuts
    assert cut.startswith("trained up to 'c', before MaxPool")
    assert result.after < result.before / 2


class TestWithWeights:
    """Weights by name."""

    def test_others_stay_and_so_does_the_original(self) -> None:
        model, new = net(1), np.zeros((3, 1, 3, 3))
        changed = with_weights(model, {"k": new})
        assert weight_of(changed, "k").dtype == np.float32
        np.testing.assert_array_equal(weight_of(changed, "k"), new)
        assert np.any(weight_of(model, "k"))
        np.testing.assert_array_equal(weight_of(changed, "w"), weight_of(model, "w"))

    def test_another_shape_is_a_fault(self) -> None:
        weights: Arrays = {"k": np.zeros((3, 1, 3), "f4")}
        with pytest.raises(TrainingError, match=r"weight 'k' came back as \(3, 1, 3\)"):
            with_weights(net(1), weights)
