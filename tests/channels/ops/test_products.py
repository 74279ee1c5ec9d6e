"""A product's rows times its matrix is what the runtime computes, and a refit does what it says."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of, run

from onnxtrim.channels.ops import Product, product_of, products_of, refit, takes_bias
from onnxtrim.graph import infer_shapes, load, normalize

RNG = np.random.default_rng(4)
CONV = "{{ y = Conv <{}> (x, w{}) }}"


def model(
    body: str, x: str, y: str, weights: Arrays
) -> tuple[ir.Model, Product, npt.NDArray[np.float32]]:
    """Returns a model, its product by w, and an input."""
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[{x}] x) => (float[{y}] y) {body}'
    found = normalize(load(proto_of(text, weights)))
    product = product_of(found, "w")
    assert product is not None
    sizes = [2 if n == "N" else int(n) for n in x.split(",")]
    return found, product, RNG.normal(size=sizes).astype("f4")


def normal(*sizes: int) -> npt.NDArray[np.float32]:
    return RNG.normal(size=sizes).astype("f4")


CASES: dict[str, tuple[str, str, str, Arrays]] = {
    "padded": (
        CONV.format("pads = [1, 1, 1, 1]", ""), "N,3,5,6", "N,4,5,6", {"w": normal(4, 3, 3, 3)},
    ),
    "lopsided": (
        CONV.format("pads = [0, 2, 1, 0], strides = [2, 1]", ", b"),
        "N,3,6,5", "N,4,3,6", {"w": normal(4, 3, 3, 2), "b": normal(4)},
    ),
    "dilated": (
        CONV.format("dilations = [2, 1], pads = [2, 0, 2, 0]", ""),
        "N,2,5,4", "N,3,5,2", {"w": normal(3, 2, 3, 3)},
    ),
    "grouped": (CONV.format("group = 2", ""), "N,4,3,3", "N,6,2,2", {"w": normal(6, 2, 2, 2)}),
    "depthwise": (
        CONV.format("group = 3, pads = [1, 1, 1, 1]", ""),
        "N,3,4,4", "N,6,4,4", {"w": normal(6, 1, 3, 3)},
    ),
    "one axis": (CONV.format("strides = [2]", ""), "N,3,7", "N,2,3", {"w": normal(2, 3, 3)}),
    "gemm": ("{ y = Gemm (x, w, b) }", "N,5", "N,3", {"w": normal(5, 3), "b": normal(3)}),
    "turned": (
        "{ y = Gemm <transB = 1> (x, w, b) }", "N,5", "N,3", {"w": normal(3, 5), "b": normal(1)},
    ),
    "matmul": ("{ y = MatMul (x, w) }", "N,4,5", "N,4,3", {"w": normal(5, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rows_times_the_matrix_is_what_the_runtime_computes(case: str) -> None:
    found, product, x = model(*CASES[case])
    y = run(found, {"x": x})["y"]
    places = np.arange(product.positions(y.shape))[::2]
    rows = product.rows(x, places).astype("f8")
    matrix = product.matrix(CASES[case][3]["w"])
    assert matrix.shape[0] == product.blocks == rows.shape[1]
    assert matrix.shape[2] == product.inputs == rows.shape[2]
    made = np.einsum("rbf,bof->rbo", rows, matrix) + product.bias_in(found)
    np.testing.assert_allclose(made, product.made(y, places), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_refit_makes_what_it_was_told_to(case: str) -> None:
    """Twice the matrix and three times the bias plus one, here in the runtime and by hand."""
    found, product, x = model(*CASES[case])
    weight = CASES[case][3]["w"]
    before = run(found, {"x": x})["y"].astype("f8")
    bias = product.bias_in(found)
    clone = found.clone()
    refit(clone, product, 2 * product.matrix(weight), 3 * bias + 1)
    after = run(infer_shapes(clone), {"x": x})["y"]
    axis = 1 if product.window is not None else -1
    shape = [1] * before.ndim
    shape[axis] = -1
    flat = bias.reshape(shape)
    np.testing.assert_allclose(after, 2 * (before - flat) + 3 * flat + 1, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(run(found, {"x": x})["y"], before.astype("f4"))


def test_features_are_channels_with_their_kernel_positions() -> None:
    _, product, _ = model(*CASES["lopsided"])
    features = product.features(np.array([[0], [2]]))
    np.testing.assert_array_equal(features, [[0, 1, 2, 3, 4, 5], [12, 13, 14, 15, 16, 17]])


NORMED = """{ a = Conv (x, w) y = BatchNormalization (a, s, z, m, v) }"""
NORMS: Arrays = {
    "w": normal(3, 2, 1, 1), "s": normal(3), "z": normal(3), "m": normal(3),
    "v": np.abs(normal(3)) + 1,
}  # fmt: skip


def test_a_bias_before_a_normalisation_goes_into_its_mean() -> None:
    found, product, x = model(NORMED, "N,2,2,2", "N,3,2,2", NORMS)
    assert takes_bias(found, product)
    clone = found.clone()
    shift = np.array([[1.0, -2.0, 0.5]])
    refit(clone, product, product.matrix(NORMS["w"]), shift)
    assert len(list(clone.graph)) == 2
    assert clone.graph.initializers.keys() == found.graph.initializers.keys()
    slope = NORMS["s"] / np.sqrt(NORMS["v"] + 1e-5)
    before, after = (run(m, {"x": x})["y"] for m in (found, clone))
    wanted = before + (slope * shift[0]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(after, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "nodes"), [("3", 2), ("1", 3)])
def test_a_bias_behind_a_matrix_product_goes_into_the_vector_there(size: str, nodes: int) -> None:
    weights = {"w": normal(4, 3), "c": normal(int(size))}
    found, product, x = model("{ a = MatMul (x, w) y = Add (a, c) }", "N,4", "N,3", weights)
    clone = found.clone()
    refit(clone, product, product.matrix(weights["w"]), np.ones((1, 3)))
    assert len(list(clone.graph)) == nodes
    before, after = (run(m, {"x": x})["y"] for m in (found, infer_shapes(clone)))
    np.testing.assert_allclose(after, before + 1, rtol=1e-5, atol=1e-5)
    assert takes_bias(found, product) == (nodes == 2)


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("{ y = Gemm <alpha = 0.5> (x, w) }", {"w": normal(4, 4)}),
        ("{ y = Gemm <transA = 1> (x, w) }", {"w": normal(4, 4)}),
        ("{ a = MatMul (x, w) y = MatMul (a, w) }", {"w": normal(4, 4)}),
        ("{ y = MatMul (w, x) }", {"w": normal(4, 4)}),
        ("{ b = Relu (x) y = Gemm (x, w, b) }", {"w": normal(4, 4)}),
    ],
    ids=["scaled", "turned input", "shared", "on the left", "computed bias"],
)
def test_what_is_no_product(body: str, weights: dict[str, Any]) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[4,4] x) => (float[4,4] y) {body}'
    found = normalize(load(proto_of(text, weights)))
    assert products_of(found) == []
    assert product_of(found, "w") is None
