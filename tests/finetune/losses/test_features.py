"""Features of student and teacher."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Arrays, proto_of

from finetune.twin.checking import Gradients, assert_close, differences
from onnxtrim.errors import UsageError
from onnxtrim.finetune.losses import Goal, with_loss
from onnxtrim.finetune.losses.features import Feature, features_of, with_features
from onnxtrim.finetune.twin import twin_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner

TEXT = """
<ir_version: 8, opset_import: ["" : {opset}]>
net (float[N, 2, 6, 5] x) => (float[N, 3] y) {{
  a = Conv <kernel_shape = [3, 3]> (x, k)
  r = Relu (a)
  c = Conv <kernel_shape = [1, 1]> (r, l)
  t = Tanh (c)
  p = GlobalAveragePool (t)
  f = Flatten (p)
  y = MatMul (f, m)
}}
"""
X = np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype("f4")


def net(first: int, second: int, opset: int = 13, seed: int = 0) -> ir.Model:
    """Returns a net with so many channels in its two layers."""
    rng = np.random.default_rng(seed)
    sizes = {"k": (first, 2, 3, 3), "l": (second, first, 1, 1), "m": (second, 3)}
    weights = {name: rng.normal(size=size).astype("f4") for name, size in sizes.items()}
    return normalize(load(proto_of(TEXT.format(opset=opset), weights)))


def attention(feature: np.ndarray) -> np.ndarray:
    """Returns the map of (samples, channels, ...), flat and of length 1."""
    energy = (feature.astype(np.float64) ** 2).mean(axis=1).reshape(len(feature), -1)
    unit: np.ndarray = energy / np.linalg.norm(energy, axis=1, keepdims=True)
    return unit


def inner(model: ir.Model, *names: str) -> Arrays:
    """Returns tensors inside a model, on X."""
    features = [Feature(name, 1, 4, mapped=False) for name in names]
    return Runner(with_features(model, features))({"x": X})


def test_what_is_thinner_is_mapped_and_the_rest_is_compared_as_it_is() -> None:
    found = {f.tensor: f for f in features_of(net(2, 5), net(4, 5), {"x": X})}
    assert {name: feature.mapped for name, feature in found.items()}.items() >= {
        "r": True,
        "t": False,
    }.items()
    assert {(f.axis, f.rank) for f in found.values()} == {(1, 4)}
    assert {"p", "f", "y"}.isdisjoint(found) or found["p"].rank == 4


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_the_mean_squared_error_of_maps_is_the_distance_of_their_unit_vectors(opset: int) -> None:
    student, teacher = net(2, 5, opset), net(4, 5, opset, seed=1)
    feature = Feature("r", 1, 4, mapped=True)
    mine, other = (
        Runner(with_features(m, [feature]))({"x": X})["r.attention"] for m in (student, teacher)
    )
    assert mine.shape == (3, 1, 4, 3)
    units = [attention(inner(m, "r")["r"]) for m in (student, teacher)]
    wanted = np.mean(np.sum((units[0] - units[1]) ** 2, axis=1))
    assert np.mean((mine - other) ** 2) == pytest.approx(wanted, rel=1e-5)


@given(factor=st.floats(1e-2, 1e2), seed=st.integers(0, 99))
def test_a_map_does_not_change_with_the_size_of_its_feature(factor: float, seed: int) -> None:
    feature, student = Feature("a", 1, 4, mapped=True), net(2, 5, seed=seed)
    run = Runner(with_features(student, [feature]))
    small, large = (run({"x": x})["a.attention"] for x in (X, X * np.float32(factor)))
    np.testing.assert_allclose(small, large, rtol=1e-4)


def test_a_feature_that_is_0_has_a_finite_map() -> None:
    run = Runner(with_features(net(2, 5), [Feature("a", 1, 4, mapped=True)]))
    np.testing.assert_array_equal(run({"x": 0 * X})["a.attention"], np.zeros((3, 1, 4, 3)))


def test_outputs_stay_and_the_model_too() -> None:
    student = net(2, 5)
    extended = with_features(student, [Feature("r", 1, 4, mapped=False)])
    assert [value.name for value in extended.graph.outputs] == ["y", "r"]
    assert [value.name for value in student.graph.outputs] == ["y"]


def test_channels_may_lie_on_any_axis_but_the_first() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[N, 7, 3] x) => (float[N, 7, 2] y)
    { h = MatMul (x, k) r = Relu (h) y = MatMul (r, l) }
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 3)).astype("f4")
    models = [
        normalize(
            load(
                proto_of(
                    text,
                    {
                        "k": rng.normal(size=(3, width)).astype("f4"),
                        "l": rng.normal(size=(width, 2)).astype("f4"),
                    },
                )
            )
        )
        for width in (4, 6)
    ]
    found = features_of(models[0], models[1], {"x": x})
    assert Feature("r", 2, 3, mapped=True) in found
    answer = Runner(with_features(models[0], [Feature("r", 2, 3, mapped=True)]))({"x": x})
    raw = Runner(with_features(models[0], [Feature("r", 2, 3, mapped=False)]))({"x": x})["r"]
    unit = attention(np.moveaxis(raw, 2, 1))
    np.testing.assert_allclose(
        answer["r.attention"].reshape(2, 7) / np.sqrt(7), unit, rtol=1e-5, atol=1e-6
    )


def test_models_without_a_feature_in_common_are_refused() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 3] x) => (float[N, 3] y) { h = MatMul (x, k) r = Relu (h) y = MatMul (r, k) }
    """
    flat = normalize(load(proto_of(text, {"k": np.eye(3, dtype=np.float32)})))
    with pytest.raises(UsageError, match=r"^--features: the models have no features to compare"):
        features_of(flat, flat, {"x": np.ones((1, 3), np.float32)})


def test_the_training_runtime_has_the_derivatives_of_maps_and_features(
    gradients: Gradients,
) -> None:
    student, teacher = net(2, 5), net(4, 5, seed=1)
    features = features_of(student, teacher, {"x": X})
    assert {feature.mapped for feature in features} == {True, False}
    goals = [Goal("y", "mse"), *(Goal(feature.output, "mse", weight=2.0) for feature in features)]
    answers = Runner(with_features(teacher, features))({"x": X})
    fed = {"x": X, **{goal.target: answers[goal.output] for goal in goals}}
    twin, ones = twin_of(student), {"loss": np.ones((), np.float32)}
    trained = replace(twin, learner=with_loss(with_features(twin.learner, features), goals))
    found = gradients(trained, fed, ones)
    model, names = with_loss(with_features(student, features), goals), ("k", "l", "m")
    for name, want in differences(model, names, fed, ones).items():
        assert_close(found[name], want)
