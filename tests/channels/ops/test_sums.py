"""Where a product's result is added to a stream, and what multiplies it on the way."""

import numpy as np
import pytest
from oracle import Arrays, proto_of, run

from onnxtrim.channels.ops import sum_behind
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import with_outputs

RNG = np.random.default_rng(6)
WEIGHTS: Arrays = {
    "w": RNG.normal(size=(3, 3, 1, 1)).astype("f4"),
    "s": np.array([0.5, 2, -1], "f4"),
    "z": RNG.normal(size=3).astype("f4"),
    "m": RNG.normal(size=3).astype("f4"),
    "v": np.array([1, 4, 0.25], "f4"),
    "c": np.ones((1, 3, 1, 1), "f4"),
    "l": np.array(0, "f4"),
    "h": np.array(6, "f4"),
}
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[N,3,2,2] x) => (float[N,3,2,2] y) '
NORM = "b = BatchNormalization (a, s, z, m, v)"


def model(body: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    names = [name for name in WEIGHTS if f" {name}" in body.replace("(", " ").replace(",", " ")]
    return normalize(load(proto_of(HEAD + body, {n: WEIGHTS[n] for n in names})))


def test_the_sum_grows_with_the_result_by_the_scale() -> None:
    """T = a y + the rest: two inputs that differ give the same rest."""
    found = model(f"{{ a = Conv (x, w) {NORM} t = Add (b, x) y = Relu (t) }}")
    behind = sum_behind(found, "a")
    assert behind is not None
    assert behind.tensor == "t"
    np.testing.assert_allclose(behind.scale, [0.5, 1.0, -2.0], rtol=1e-4)
    scale = np.asarray(behind.scale).reshape(1, 3, 1, 1)
    x = RNG.normal(size=(2, 3, 2, 2)).astype("f4")
    outputs = run(with_outputs(found, ["a", "t"]), {"x": x})
    rest = outputs["t"] - scale * outputs["a"] - x
    np.testing.assert_allclose(rest, np.broadcast_to(rest[:1, :, :1, :1], rest.shape), atol=1e-5)


def test_straight_into_a_sum_the_scale_is_one() -> None:
    behind = sum_behind(model("{ a = Conv (x, w) y = Add (x, a) }"), "a")
    assert behind is not None
    assert (behind.tensor, behind.scale) == ("y", 1.0)


@pytest.mark.parametrize(
    "body",
    [
        "{ a = Conv (x, w) r = Sigmoid (a) y = Add (r, x) }",
        "{ a = Conv (x, w) r = Relu (a) t = Add (a, x) y = Add (t, r) }",
        "{ a = Conv (x, w) y = Add (a, c) }",
        "{ y = Conv (x, w) }",
    ],
    ids=["through a Sigmoid", "read by two", "a constant", "an output"],
)
def test_what_is_no_sum(body: str) -> None:
    name = "y" if body.startswith("{ y") else "a"
    assert sum_behind(model(body), name) is None


def test_what_is_scaled_down_to_nothing_makes_nothing_good() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WEIGHTS, "s", np.array([1e-6, 2, -1], "f4"))
        found = model(f"{{ a = Conv (x, w) {NORM} y = Add (b, x) }}")
    assert sum_behind(found, "a") is None


@pytest.mark.parametrize(
    ("body", "tensor", "bounds"),
    [
        ("{ a = Conv (x, w) y = Relu (a) }", "a", (0.0, np.inf)),
        (f"{{ a = Conv (x, w) {NORM} y = Relu (b) }}", "b", (0.0, np.inf)),
        ("{ a = Conv (x, w) t = Add (a, x) y = Relu (t) }", "t", (0.0, np.inf)),
        ("{ a = Conv (x, w) t = Add (a, c) y = Relu (t) }", "t", (0.0, np.inf)),
        ("{ a = Conv (x, w) y = Clip (a, l, h) }", "a", (0.0, 6.0)),
        ("{ a = Conv (x, w) y = Clip (a, , h) }", "a", (-np.inf, 6.0)),
        ("{ a = Conv (x, w) t = Add (a, x) r = Relu (t) y = Add (t, r) }", "t", (-np.inf, np.inf)),
    ],
)
def test_what_an_activation_cuts_off_is_known(
    body: str, tensor: str, bounds: tuple[float, float]
) -> None:
    found = sum_behind(model(body), "a")
    assert found is not None
    assert (found.tensor, (found.low, found.high)) == (tensor, bounds)
    assert found.bounded == (bounds != (-np.inf, np.inf))


def test_bounds_that_are_computed_are_not_known() -> None:
    found = model("{ a = Conv (x, w) top = ReduceMax <keepdims = 0> (x) y = Clip (a, l, top) }")
    assert sum_behind(found, "a") is None
