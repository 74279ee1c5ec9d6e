"""Zeros stay exactly 0.0 while the other weights learn, whatever learns and however."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

import onnxtrim
from onnxtrim.calibration import input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.config import OptimizerName, TuneConfig
from onnxtrim.finetune.tune import tune
from onnxtrim.graph import normalize
from onnxtrim.sparsity import recounted, sparsified, zeros_stay

MODELS = Path(__file__).parents[2] / "models"
LENET, DIGITS = MODELS / "lenet-digits.onnx", MODELS / "digits"
NET = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
  n = BatchNormalization (c, s, b, m, v)
  r = Relu (n)
  u = ConvTranspose <group = 2, strides = [2, 2]> (r, t)
  p = GlobalAveragePool (u)
  f = Flatten (p)
  wt = Transpose <perm = [1, 0]> (w)
  h = MatMul (f, wt)
  e = Einsum <equation = "nf,fg->ng"> (h, q)
  y = MatMul (e, g)
}
"""
SHAPES = {
    "k": (4, 2, 3, 3), "s": (4,), "b": (4,), "m": (4,), "t": (4, 3, 2, 2), "w": (5, 6),
    "q": (5, 4), "g": (4, 3),
}  # fmt: skip


def arrays_of(model: ir.Model) -> Arrays:
    return {t.name: onnx.numpy_helper.to_array(t) for t in ir.to_proto(model).graph.initializer}


def assert_same_zeros(before: ir.Model, after: ir.Model) -> None:
    """Zeros stay, bit by bit, and others become none."""
    old, new = arrays_of(before), arrays_of(after)
    for name, array in old.items():
        if array.ndim > 1:
            zeros = array == 0
            assert not new[name][zeros].view("u4").any(), name
            assert new[name][~zeros].all(), name


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_on_the_lenet(optimizer: OptimizerName) -> None:
    options = {"epochs": 2, "optimizer": optimizer, "lr": 0.002, "batch_size": 16, "threads": 1}
    plain = onnxtrim.prune(LENET, DIGITS, weights=0.97, threads=1)
    tuned = onnxtrim.prune(LENET, DIGITS, weights=0.97, finetune=True, **options)  # type: ignore[arg-type]
    assert tuned.untuned is None
    assert tuned.report.tuning is not None
    assert tuned.report.tuning.settings["keep_zeros"] is True
    assert_same_zeros(plain.model, tuned.model)
    before, after = plain.report.sparsity, tuned.report.sparsity
    assert before is not None
    assert after is not None
    assert after.layers == before.layers
    old, new = arrays_of(plain.model), arrays_of(tuned.model)
    assert not np.array_equal(old["fc1.weight"], new["fc1.weight"]), "else it has not learned"
    assert tuned.report.steps[-1].metric == plain.report.after.metric


@pytest.mark.parametrize("batch_size", [16, 32])
def test_where_weights_are_lowered_and_norms_are_trained(
    runtime: TrainingRuntime, batch_size: int
) -> None:
    """The last epoch of a loop: sparse, tuned, sparser, tuned."""
    rng = np.random.default_rng(0)
    drawn: Arrays = {name: rng.normal(size=size).astype("f4") for name, size in SHAPES.items()}
    drawn |= {"m": np.zeros(4, "f4"), "v": (drawn["k"] ** 2).sum(axis=(1, 2, 3))}  # as they are
    model = normalize(ir.from_proto(proto_of(NET, drawn)))
    x = rng.normal(size=(160, 2, 6, 6)).astype("f4")
    reading = DataConfig(batch_size=batch_size, threads=1)
    data = open_data(x, input_specs(model), reading)
    config = TuneConfig(epochs=20, patience=20, lr=0.005, keep_zeros=True)
    current = model
    for share in (0.4, 0.7):
        sparse, layers = sparsified(current, share, "layer")
        assert [layer.tensor for layer in layers] == ["k", "t", "w", "q", "g"]
        assert all(layer.zeros == round(share * layer.weights) for layer in layers)
        result = tune(sparse, model, data, config, reading, runtime)
        assert result.after < result.before
        assert_same_zeros(sparse, result.model)
        zeros_stay(sparse, result.model)
        assert recounted(result.model, layers) == layers
        current = result.model
