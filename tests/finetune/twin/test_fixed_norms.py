"""BatchNormalization as a fixed affine."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.finetune.twin import twin_of
from onnxtrim.finetune.twin.fixed_norms import with_fixed_norms
from onnxtrim.graph import normalize
from onnxtrim.graph.runtime import Runner

RNG = np.random.default_rng(5)
NORM: Arrays = {
    "scale": RNG.normal(size=4).astype("f4"),
    "bias": RNG.normal(size=4).astype("f4"),
    "mean": RNG.normal(size=4).astype("f4"),
    "var": RNG.uniform(0.01, 2, size=4).astype("f4"),
}


def net(sizes: str, epsilon: float = 1e-2) -> ir.Model:
    """Returns y = BatchNormalization (x) of four channels, whose name is the output's."""
    text = f"""
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[{sizes}] x) => (float[{sizes}] y)
    {{ y = BatchNormalization <epsilon = {epsilon}> (x, scale, bias, mean, var) }}
    """
    return normalize(ir.from_proto(proto_of(text, NORM)))


def operators(model: ir.Model) -> set[str]:
    return {node.op_type for node in model.graph}


@pytest.mark.parametrize("sizes", ["N, 4", "N, 4, 5", "N, 4, 5, 6", "N, 4, 2, 3, 2"])
def test_it_computes_the_same_and_trains_scale_and_bias_under_their_names(sizes: str) -> None:
    shape = (3, *(int(size) for size in sizes.split(", ")[1:]))
    x = RNG.normal(size=shape).astype("f4")
    twin = twin_of(net(sizes))
    fixed = with_fixed_norms(twin.model)
    assert "BatchNormalization" in operators(twin.model)
    assert "BatchNormalization" not in operators(fixed)
    assert set(twin.trainable) == {"scale", "bias"} <= set(fixed.graph.initializers)
    scale, bias, mean, var = (
        NORM[name].astype(np.float64).reshape(-1, *[1] * (x.ndim - 2)) for name in NORM
    )
    wanted = scale * (x - mean) / np.sqrt(var + 1e-2) + bias
    np.testing.assert_allclose(Runner(fixed)({"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)


def test_new_scale_and_bias_do_to_the_affine_what_they_do_to_the_norm() -> None:
    twin, x = twin_of(net("N, 4, 5")), RNG.normal(size=(2, 4, 5)).astype("f4")
    fixed = with_fixed_norms(twin.model)
    for name in ("scale", "bias"):
        new = RNG.normal(size=4).astype("f4")
        for model in (twin.model, fixed):
            model.graph.initializers[name].const_value = ir.tensor(new, name=name)
    wanted = Runner(twin.model)({"x": x})["y"]
    np.testing.assert_allclose(Runner(fixed)({"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)
