"""Only zeros are new, as many as were asked for, and those that were there stay."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Arrays, proto_of

from onnxtrim.config import Scope
from onnxtrim.errors import ModelError
from onnxtrim.graph import load, normalize
from onnxtrim.sparsity import SparseLayer, patterned, recounted, sparsified
from onnxtrim.zeros import Pattern

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (TYPE[N, 3, 4, 4] x) => (TYPE[N, 2] y) {
  [first] a = Conv (x, k, kb)
  [up] u = ConvTranspose <group = 2> (a, t)
  [second] c = Conv (u, l)
  [flat] f = Flatten (c)
  [fc] h = Gemm (f, w)
  [last] y = MatMul (h, q)
}"""
SHAPES = {
    "k": (4, 3, 3, 3), "kb": (4,), "t": (4, 2, 1, 1), "l": (8, 4, 2, 2), "w": (8, 4), "q": (4, 2),
}  # fmt: skip
TENSORS = ["k", "t", "l", "w", "q"]
TOTAL = 108 + 8 + 128 + 32 + 8


def model(seed: int = 0, kind: str = "float", **given: np.ndarray) -> ir.Model:
    rng = np.random.default_rng(seed)
    dtype = {"float": np.float32, "float16": np.float16, "double": np.float64}[kind]
    weights: Arrays = {n: rng.integers(-4, 5, s).astype(dtype) for n, s in SHAPES.items()}
    return normalize(load(proto_of(TEXT.replace("TYPE", kind), weights | given)))


def weights_of(model: ir.Model) -> Arrays:
    found = {}
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        found[name] = value.const_value.numpy()
    return found


def assert_only_zeros_are_new(before: ir.Model, after: ir.Model) -> None:
    old, new = weights_of(before), weights_of(after)
    assert list(old) == list(new)
    for name, array in new.items():
        assert array.dtype == old[name].dtype
        stays = array.view("u1").reshape(*array.shape, -1) == old[name].view("u1").reshape(
            *array.shape, -1
        )
        assert (stays.all(axis=-1) | ((array == 0) & ~np.signbit(array))).all(), name
    assert new["kb"].tobytes() == old["kb"].tobytes()


@given(
    st.integers(0, 99),
    st.floats(0, 0.999),
    st.sampled_from(["global", "layer"]),
    st.sampled_from(["float", "float16", "double"]),
)
def test_the_zeros_are_as_many_as_were_asked_for(
    seed: int, share: float, scope: Scope, kind: str
) -> None:
    before = model(seed, kind)
    old = weights_of(before)
    after, layers = sparsified(before, share, scope)
    assert_only_zeros_are_new(before, after)
    new = weights_of(after)
    assert [layer.tensor for layer in layers] == TENSORS
    for layer in layers:
        assert layer.weights == new[layer.tensor].size
        assert layer.zeros == np.count_nonzero(new[layer.tensor] == 0)
        assert layer.zeros_before == np.count_nonzero(old[layer.tensor] == 0)
        assert layer.sparsity == layer.zeros / layer.weights
        if scope == "layer":
            assert layer.zeros == max(layer.zeros_before, round(share * layer.weights))
    zeros, given = (sum(getattr(x, n) for x in layers) for n in ("zeros", "zeros_before"))
    if scope == "global":
        assert zeros == max(given, round(share * TOTAL))
    assert weights_of(before)["k"].tobytes() == old["k"].tobytes(), "the input is never changed"


@given(st.integers(0, 99), st.floats(0, 0.999), st.floats(0, 0.999))
def test_zeros_stay_while_the_share_rises(seed: int, one: float, other: float) -> None:
    before = model(seed)
    low, high = sorted([one, other])
    straight, _ = sparsified(before, high)
    steps, _ = sparsified(sparsified(before, low)[0], high)
    for name, array in weights_of(straight).items():
        np.testing.assert_array_equal(array, weights_of(steps)[name], err_msg=name)


def test_nothing_changes_where_there_are_more_zeros_already() -> None:
    sparse, _ = sparsified(model(), 0.9)
    again, layers = sparsified(sparse, 0.5)
    assert all(
        value.const_value is again.graph.initializers[name].const_value
        for name, value in sparse.graph.initializers.items()
    )
    assert sum(layer.zeros for layer in layers) == round(0.9 * TOTAL)


def test_the_same_twice() -> None:
    first, second = (weights_of(sparsified(model(), 0.7)[0]) for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_what_is_left_out_is_no_part_of_the_share() -> None:
    k = np.arange(1, 109, dtype=np.float32).reshape(SHAPES["k"])
    after, layers = sparsified(model(k=k), 0.25, include=("first",))
    assert weights_of(after)["k"].ravel()[:29].tolist() == [0.0] * 27 + [28.0, 29.0]
    assert layers[0] == SparseLayer("k", 108, 0, 27, 0.25)
    assert {layer.reason for layer in layers[1:]} == {"--include keeps it dense"}


@given(st.integers(0, 99), st.sampled_from([Pattern(1, 2), Pattern(2, 4), Pattern(1, 4)]))
def test_a_pattern_holds_in_every_row_of_what_an_output_reads(seed: int, pattern: Pattern) -> None:
    before = model(seed)
    after, layers = patterned(before, pattern)
    assert_only_zeros_are_new(before, after)
    new = weights_of(after)
    rows = {"l": np.moveaxis(new["l"], 1, -1), "w": new["w"].T, "q": new["q"].T}
    if pattern.width == 2:
        rows["t"] = np.moveaxis(new["t"], 0, -1)
    for name, array in rows.items():
        full = np.count_nonzero(array.reshape(-1, pattern.width), axis=1)
        assert full.max() <= pattern.kept, name
    reasons = {layer.tensor: layer.reason for layer in layers}
    assert reasons["k"] == f"it reads 3 in a row, which is no multiple of {pattern.width}"
    if pattern.width == 4:  # four inputs, but two groups of two
        assert reasons["t"] == "it reads 2 in a row, which is no multiple of 4"
    np.testing.assert_array_equal(new["k"], weights_of(before)["k"])


def test_without_a_weight_it_says_so() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y) {
      y = Relu (x)
    }"""
    with pytest.raises(ModelError, match="no weight that may become sparse"):
        sparsified(normalize(load(proto_of(text))), 0.5)


def test_a_pattern_that_fits_nothing_says_so() -> None:
    with pytest.raises(ModelError, match=r"--pattern 3:5: fits no weight \(k: it reads 3 in a"):
        patterned(model(), Pattern(3, 5))


def test_layers_are_counted_anew() -> None:
    sparse, layers = sparsified(model(), 0.5)
    (first, *_) = recounted(model(), layers)
    assert (first.zeros, first.zeros_before) == (layers[0].zeros_before,) * 2
    assert recounted(sparse, layers) == layers
