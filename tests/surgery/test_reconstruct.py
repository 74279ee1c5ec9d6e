"""Closed form: exact where what goes is linear in what stays, and least squares elsewhere."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of, run

from onnxtrim.calibration import open_data
from onnxtrim.calibration.data import input_specs
from onnxtrim.calibration.tapped import second_moments
from onnxtrim.channels import analyze
from onnxtrim.channels.ops import products_of
from onnxtrim.config import DataConfig
from onnxtrim.graph import infer_shapes, load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut
from onnxtrim.surgery.reconstruct import fitted, reconstructed

Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(12)
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[N,2,6,6] x) => '
CONVS = HEAD + (
    "(float[N,3,6,6] y) {{ [one] a = Conv (x, w1, b1) [two] y = Conv <pads = [{0}, {0}, {0}, {0}]"
    "{1}> (a, w2) }}"
)


def linear_net(padding: int, *, relu: bool = False) -> ir.Model:
    """Returns two convolutions; of eight channels between them, five are made of the others."""
    mixed = RNG.normal(size=(5, 3)).astype("f4")
    basis = RNG.normal(size=(3, 2, 1, 1)).astype("f4")
    bias = np.zeros(3, "f4") if padding else RNG.normal(size=3).astype("f4")
    weights: Arrays = {
        "w1": np.concatenate([basis, np.einsum("ij,jckl->ickl", mixed, basis)]),
        "b1": np.concatenate([bias, mixed @ bias]),
        "w2": RNG.normal(size=(3, 8, 3, 3)).astype("f4"),
    }
    text = CONVS.format(padding, "")
    if not padding:
        text = text.replace("(float[N,3,6,6] y)", "(float[N,3,4,4] y)")
    if relu:
        text = text.replace("(x, w1, b1) [two]", "(x, w1, b1) r = Relu (a) [two]")
        text = text.replace("(a, w2)", "(r, w2)")
    return normalize(load(proto_of(text, weights)))


def images(count: int = 64) -> Arrays:
    return {"x": RNG.normal(size=(count, 2, 6, 6)).astype("f4")}


def cut_down(model: ir.Model, places: list[int]) -> tuple[ir.Model, Any]:
    """Returns a model without some units of its first group, and what is left."""
    channel_map = analyze(model)
    removed = np.sort(channel_map.groups[0].units[places])
    plan = make_plan(channel_map, model.graph.initializers, removed, "")
    return cut(model, channel_map, plan), channel_map.without(removed)


def mended(model: ir.Model, places: list[int], data: Arrays, **options: bool) -> ir.Model:
    thinner, kept = cut_down(model, places)
    dataset = open_data(data, input_specs(model), DataConfig())
    moments = second_moments(model, products_of(model), dataset)
    return infer_shapes(reconstructed(model, thinner, kept, moments, **options))


def error(model: ir.Model, other: ir.Model, data: Arrays) -> float:
    wanted, found = (run(m, data)["y"].astype("f8") for m in (model, other))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("padding", [0, 1])
def test_channels_that_are_linear_in_others_are_not_missed(padding: int) -> None:
    model, test = linear_net(padding), images(8)
    gone = [3, 4, 5, 6, 7]
    assert error(model, cut_down(model, gone)[0], test) > 0.3
    assert error(model, mended(model, gone, images(600)), test) < 1e-4


def test_without_a_place_for_a_bias_none_is_made_where_nothing_may_grow() -> None:
    model, data = linear_net(1), images()
    grown, same = (mended(model, [3, 4], data, grow=grow) for grow in (True, False))
    assert "w2.bias" in grown.graph.initializers
    assert same.graph.initializers.keys() == model.graph.initializers.keys()
    assert error(model, same, images(8)) < 1e-4  # all means are 0: nothing is lost without


def test_a_constant_channel_goes_into_the_bias() -> None:
    """Behind a Relu, one that is 2 everywhere, and one that is 0."""
    model = linear_net(0, relu=True)
    weights = {
        n: np.array(v.const_value.numpy())
        for n, v in model.graph.initializers.items()
        if v.const_value
    }
    weights["w1"][[1, 4]], weights["b1"][[1, 4]] = 0.0, (2.0, -1.0)
    text = CONVS.format(0, "").replace("(float[N,3,6,6] y)", "(float[N,3,4,4] y)")
    text = text.replace("(x, w1, b1) [two]", "(x, w1, b1) r = Relu (a) [two]").replace(
        "(a, w2)", "(r, w2)"
    )
    model = normalize(load(proto_of(text, weights)))
    test = images(8)
    assert error(model, cut_down(model, [1, 4])[0], test) > 0.1
    assert error(model, mended(model, [1, 4], images()), test) < 1e-6


@pytest.mark.parametrize("rows", [3, 11, 100, 1e6])
@pytest.mark.parametrize("spread", [9.5, 18.0, 60.0])
def test_the_ridge_is_what_cross_validation_would_take(rows: float, spread: float) -> None:
    """One feature of variance 4, a covariance of 6 with the target, and weights drawn to 1.

    With the ridge k, v = 1 + 2 / (4 + k) leaves `spread` - 12 v + 4 v^2, and uses 4 / (4 + k) of
    the feature.
    """
    one = np.ones((1, 1, 1))
    found = fitted(4 * one, 6 * one, np.full((1, 1), spread), one, rows)[0, 0, 0]
    ridges = 4 * np.geomspace(1e-9, 1e3, 25)
    v = 1 + 2 / (4 + ridges)
    doubts = (spread - 12 * v + 4 * v**2) / (1 - 4 / (4 + ridges) / rows) ** 2
    assert found == pytest.approx(v[np.argmin(doubts)], rel=1e-9)


def test_what_is_linear_is_fitted_and_what_few_rows_show_is_not() -> None:
    one = np.ones((1, 1, 1))
    exact = fitted(4 * one, 6 * one, np.full((1, 1), 9.0), one, 100)
    assert exact[0, 0, 0] == pytest.approx(1.5, rel=1e-6)
    noisy = fitted(4 * one, 6 * one, np.full((1, 1), 90.0), one, 5)
    assert 1 < noisy[0, 0, 0] < 1.01


def test_as_many_features_as_rows_explain_nothing() -> None:
    """Twenty random features fit any target of twenty rows; it has nothing to do with them."""
    p, t = RNG.normal(size=(20, 20)), RNG.normal(size=20)
    covariance, target = np.cov(p.T, t[None], bias=True)[:20, :20], (p - p.mean(0)).T @ t / 20
    start = np.zeros((1, 1, 20))
    found = fitted(covariance[None], target[None, :, None], np.full((1, 1), t.var()), start, 20)
    assert np.linalg.norm(p @ found[0, 0]) < 0.8 * np.linalg.norm(t)


def test_what_is_missing_from_the_moments_stays_as_it_was_cut() -> None:
    model = linear_net(1)
    thinner, kept = cut_down(model, [3])
    same = reconstructed(model, thinner, kept, {})
    for name, value in thinner.graph.initializers.items():
        assert value.const_value is not None
        other = same.graph.initializers[name].const_value
        assert other is not None
        np.testing.assert_array_equal(value.const_value.numpy(), other.numpy())
