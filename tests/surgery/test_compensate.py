"""Layer by layer, for every kind of layer: nearer to the original, and what helps is kept."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of, run

from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.channels import Kept, analyze
from onnxtrim.config import DataConfig
from onnxtrim.graph import infer_shapes, load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut
from onnxtrim.surgery.best import helpful
from onnxtrim.surgery.compensate import Fit, compensated

RNG = np.random.default_rng(14)
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[N,3,8,8] x) => (float[N,4] y) '
NORM = "BatchNormalization ({0}, s{1}, z{1}, m{1}, v{1})"
RESIDUAL = HEAD + (
    "{ [stem] a = Conv <pads = [1, 1, 1, 1]> (x, w0) b = " + NORM.format("a", 0) + " c = Relu (b)"
    "[up] d = Conv <pads = [1, 1, 1, 1]> (c, w1) e = " + NORM.format("d", 1) + " f = Relu (e)"
    "[down] h = Conv <pads = [1, 1, 1, 1]> (f, w2) i = " + NORM.format("h", 2) + " j = Add (i, c)"
    "k = Relu (j) [deep] l = Conv <group = 8, pads = [1, 1, 1, 1]> (k, w3, b3) n = Relu (l)"
    "o = GlobalAveragePool (n) p = Flatten (o) [head] q = MatMul (p, w4) y = Add (q, b4) }"
)
SIZES = {
    "w0": (8, 3, 3, 3), "w1": (12, 8, 3, 3), "w2": (8, 12, 3, 3), "w3": (8, 1, 3, 3), "b3": (8,),
    "w4": (8, 4), "b4": (4,),
}  # fmt: skip


def residual_net() -> ir.Model:
    """Returns a net with every kind of product, a residual stream and normalisations."""
    weights: Arrays = {n: RNG.normal(size=s).astype("f4") * 0.3 for n, s in SIZES.items()}
    for place, width in enumerate((8, 12, 8)):
        weights[f"s{place}"] = np.abs(RNG.normal(size=width)).astype("f4") + 0.5
        weights[f"z{place}"] = RNG.normal(size=width).astype("f4") * 0.3
        weights[f"m{place}"] = RNG.normal(size=width).astype("f4") * 0.1
        weights[f"v{place}"] = np.abs(RNG.normal(size=width)).astype("f4") + 0.5
    return normalize(load(proto_of(RESIDUAL, weights)))


MODEL = residual_net()


def inputs(count: int) -> Arrays:
    coarse = RNG.normal(size=(count, 3, 4, 4)).repeat(2, axis=2).repeat(2, axis=3)
    return {"x": coarse.astype("f4")}


TRAINING, TEST = inputs(256), inputs(64)


def data() -> Dataset:
    return open_data(TRAINING, input_specs(MODEL), DataConfig())


def cut_down(share: float = 0.5) -> tuple[ir.Model, Kept]:
    """Returns the net without a share of each group, and what is left."""
    channel_map = analyze(MODEL)
    gone = [g.units[: round(share * g.width)] for g in channel_map.groups]
    removed = np.sort(np.concatenate(gone))
    plan = make_plan(channel_map, MODEL.graph.initializers, removed, "")
    return cut(MODEL, channel_map, plan), channel_map.without(removed)


def error(model: ir.Model) -> float:
    wanted, found = (run(m, TEST)["y"].astype("f8") for m in (MODEL, infer_shapes(model)))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def fit(way: Fit, **options: Any) -> ir.Model:  # noqa: ANN401
    thinner, kept = cut_down()
    return compensated(MODEL, thinner, kept, data(), way, **options).model


def test_linear_fits_bring_it_nearest_and_means_nearer() -> None:
    plain, mean, linear = error(cut_down()[0]), error(fit("mean")), error(fit("linear"))
    assert linear < 0.8 * mean
    assert mean < 0.5 * plain


def test_every_product_behind_the_cut_is_fitted_and_no_other() -> None:
    thinner, kept = cut_down()
    found = compensated(MODEL, thinner, kept, data(), "linear")
    assert found.fits == dict.fromkeys(("up", "down", "deep", "head"), "linear")
    before, after = (m.graph.initializers["w0"].const_value for m in (thinner, found.model))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.numpy(), after.numpy())


def test_the_interface_and_the_cut_model_stay() -> None:
    thinner, kept = cut_down()
    weights = {
        n: v.const_value.numpy().copy()
        for n, v in thinner.graph.initializers.items()
        if v.const_value
    }
    found = compensated(MODEL, thinner, kept, data(), "linear").model
    for name, array in weights.items():
        held = thinner.graph.initializers[name].const_value
        assert held is not None
        np.testing.assert_array_equal(held.numpy(), array)
    assert run(found, TEST)["y"].shape == run(MODEL, TEST)["y"].shape
    assert [n.op_type for n in found.graph] == [n.op_type for n in thinner.graph]


def test_means_restore_mean_and_deviation_of_the_last_layer() -> None:
    """Nothing comes after it: over the samples it has the original's, if scaled by 1/5 to 5."""
    cut_model, found = cut_down()[0], infer_shapes(fit("mean"))
    wanted, made = (run(m, TRAINING)["y"].astype("f8") for m in (MODEL, found))
    np.testing.assert_allclose(made.mean(0), wanted.mean(0), atol=1e-3)
    ratio = made.std(0) / wanted.std(0)
    assert np.isclose(ratio, 1, rtol=1e-2).sum() >= 2
    before = run(infer_shapes(cut_model), TRAINING)["y"].std(0) / wanted.std(0)
    assert (np.abs(np.log(ratio)) <= np.abs(np.log(before)) + 1e-6).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    once, again = fit("linear", seed=3, threads=1), fit("linear", seed=3, threads=1)
    for name, value in once.graph.initializers.items():
        assert value.const_value is not None
        other = again.graph.initializers[name].const_value
        assert other is not None
        np.testing.assert_array_equal(value.const_value.numpy(), other.numpy())


def test_fewer_passes_still_help() -> None:
    assert error(fit("linear", refresh=2)) < 0.5 * error(cut_down()[0])


def test_with_nothing_cut_nothing_is_fitted() -> None:
    channel_map = analyze(MODEL)
    kept = channel_map.without(channel_map.no_units)
    found = compensated(MODEL, MODEL, kept, data(), "linear")
    assert found.fits == {}


class TestBest:
    """What helps is kept, and what does not is dropped."""

    def test_the_trials_say_what_was_kept(self) -> None:
        thinner, kept = cut_down()
        model, found = helpful(MODEL, thinner, kept, data(), ("linear", "mean"))
        assert [trial.way for trial in found.trials] == ["none", "linear"]
        assert found.way == "linear"
        assert found.fits == {"linear": ("up", "down", "deep", "head")}
        assert (found.samples, found.held_out) == (218, 38)
        errors = [trial.relative_error for trial in found.trials]
        assert errors[1] < errors[0]
        assert error(model) < 0.5 * error(thinner)

    def test_what_does_not_help_is_dropped(self) -> None:
        """The samples are of another kind than those by which it is judged: they say nothing."""
        thinner, kept = cut_down(0.13)
        few = {"x": np.concatenate([np.zeros((19, 3, 8, 8), "f4"), TEST["x"][:1]])}
        order = np.roll(np.arange(20), 11)
        mixed = open_data({"x": few["x"][order]}, input_specs(MODEL), DataConfig())
        model, found = helpful(MODEL, thinner, kept, mixed, ("linear",))
        best = min(found.trials, key=lambda trial: trial.relative_error)
        assert found.way == best.way
        assert (model is thinner) == (found.way == "none")

    @pytest.mark.parametrize("better", [True, False])
    def test_a_local_fit_is_kept_where_it_is_best(self, better: bool) -> None:
        thinner, kept = cut_down()
        local = MODEL if better else thinner
        _, found = helpful(MODEL, thinner, kept, data(), ("mean",), local)
        assert found.way == ("local" if better else "mean")
