"""The statistics of BatchNormalization as they are."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.finetune.twin import twin_of
from onnxtrim.finetune.twin.live_norms import own_statistics
from onnxtrim.graph import normalize

RNG = np.random.default_rng(6)
NET = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 3, 4] x) => (float[N, 3, 4] y) {
  n = BatchNormalization <epsilon = 0.0> (x, s1, b1, m1, v1)
  r = Relu (n)
  y = BatchNormalization (r, s2, b2, m2, v2)
}
"""
WEIGHTS: Arrays = {
    **{name: RNG.normal(size=3).astype("f4") for name in ("s1", "b1", "m1", "s2", "b2", "m2")},
    **{name: RNG.uniform(1, 2, 3).astype("f4") for name in ("v1", "v2")},
}
X = (RNG.normal(size=(12, 3, 4)) * 3 + 2).astype("f4")


def statistics(batches: list[Arrays]) -> Arrays:
    model = twin_of(normalize(ir.from_proto(proto_of(NET, WEIGHTS)))).model
    found = own_statistics(model, batches, threads=1)
    assert set(model.graph.initializers) >= {"m1", "v1", "m2", "v2"}, "the model was changed"
    return found


def test_of_one_batch_they_are_its_mean_and_variance_layer_by_layer() -> None:
    found = statistics([{"x": X}])
    assert found.keys() == {"m1", "v1", "m2", "v2"}
    wide = X.astype(np.float64)
    mean, var = wide.mean(axis=(0, 2)), wide.var(axis=(0, 2))
    np.testing.assert_allclose(found["m1"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["v1"], var, rtol=1e-5)
    s, b, m, v = (a[:, None] for a in (WEIGHTS["s1"], WEIGHTS["b1"], mean, var))
    r = np.maximum(s * (wide - m) / np.sqrt(v) + b, 0)
    np.testing.assert_allclose(found["m2"], r.mean(axis=(0, 2)), rtol=1e-4)
    np.testing.assert_allclose(found["v2"], r.var(axis=(0, 2)), rtol=1e-4)


def test_of_several_batches_they_are_those_of_all_samples_in_the_first_layer() -> None:
    found = statistics([{"x": X[i : i + 4]} for i in (0, 4, 8)])
    assert found["m1"] == pytest.approx(X.mean(axis=(0, 2)), rel=1e-5)
    assert found["v1"] == pytest.approx(X.astype(np.float64).var(axis=(0, 2)), rel=1e-5)


def test_without_a_norm_there_are_none() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 3] x) => (float[N, 3] y) { y = MatMul (x, w) }
    """
    model = normalize(ir.from_proto(proto_of(text, {"w": np.eye(3, dtype=np.float32)})))
    assert own_statistics(twin_of(model).model, [{"x": X[:, :, 0]}]) == {}
