"""Which weights may become sparse, and along which axis."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.errors import UsageError
from onnxtrim.graph import load, normalize
from onnxtrim.sparsity import Candidate, candidates_of

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 4, 4] x, int64[N] i)
=> (float[N, 3] y, float[N, 3] z, float[N, 8] e, float[N, 4, 8, 8] u) {
  [conv] a = Conv <group = 2> (x, k, kb)
  [norm] n = BatchNormalization (a, s, t, m, v)
  [deep] d = Conv <group = 6> (n, dk)
  [up] u = ConvTranspose <group = 2, strides = [2, 2]> (x, ut)
  [pool] p = GlobalAveragePool (d)
  [flat] f = Flatten (p)
  [fc] y = Gemm <transB = 1> (f, w, b)
  [mm] z = MatMul (f, q)
  [embed] e = Gather (table, i)
}"""
SHAPES = {
    "k": (6, 2, 3, 3), "kb": (6,), "s": (6,), "t": (6,), "m": (6,), "v": (6,), "dk": (6, 1, 2, 2),
    "ut": (4, 2, 2, 2), "w": (3, 6), "b": (3,), "q": (6, 3), "table": (10, 8),
}  # fmt: skip


def model(text: str = TEXT, shapes: dict[str, tuple[int, ...]] = SHAPES) -> ir.Model:
    weights: Arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return normalize(load(proto_of(text, weights)))


def test_they_are_the_weights_that_read_or_write_channels() -> None:
    assert candidates_of(model()) == (
        Candidate("k", ("conv",), 1, 1),
        Candidate("dk", ("deep",), None, 1),
        Candidate("ut", ("up",), 0, 2),
        Candidate("w", ("fc",), 1, 1),
        Candidate("q", ("mm",), 0, 1),
    )


def test_a_shared_weight_is_one_and_has_an_axis_where_all_agree() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y) {
      [one] a = MatMul (x, w)
      [two] b = MatMul (a, w)
      [three] c = Gemm <transB = 1> (b, r)
      [four] y = Gemm (c, r)
    }"""
    found = candidates_of(model(text, {"w": (4, 4), "r": (4, 4)}))
    assert found == (
        Candidate("w", ("one", "two"), 0, 1),
        Candidate("r", ("three", "four"), None, 1),
    )


def test_a_weight_that_is_something_else_too_stays_dense() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x, int64[N] i)
    => (float[N, 4] y, float[N, 4] e) {
      [mm] y = MatMul (x, w)
      [embed] e = Gather (w, i)
    }"""
    (found,) = candidates_of(model(text, {"w": (4, 4)}))
    assert found.reason == "embed reads it, too, and not as a weight"


def test_a_vector_stays_dense() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N] y) {
      y = MatMul (x, w)
    }"""
    (found,) = candidates_of(model(text, {"w": (4,)}))
    assert found.reason == "it has one axis only, as biases and norms have"


def test_globs_name_tensors_and_nodes() -> None:
    def chosen(include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
        return [c.tensor for c in candidates_of(model(), include, exclude) if not c.reason]

    assert chosen(include=("conv", "w")) == ["k", "w"]
    assert chosen(exclude=("d*",)) == ["k", "ut", "w", "q"]
    found = {c.tensor: c.reason for c in candidates_of(model(), ("conv",))}
    assert found["w"] == "--include keeps it dense"
    with pytest.raises(UsageError, match=r"--exclude nope: matches no weight"):
        candidates_of(model(), (), ("nope",))
    with pytest.raises(UsageError, match=r"--include kb: matches no weight"):
        candidates_of(model(), ("kb",))


TURNED = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 3] y%s) {
  t = Transpose <perm = [1, 0]> (w)
  [mm] y = MatMul (x, t)
  %s
}"""


def test_elements_may_move_before_they_are_read() -> None:
    shapes: dict[str, tuple[int, ...]] = {"w": (3, 4)}
    also = (TURNED % ("", "")).replace("=> (", "=> (float[4, 3] t, ")
    assert candidates_of(model(TURNED % ("", ""), shapes)) == (Candidate("w", ("mm",), None, 1),)
    (found,) = candidates_of(model(TURNED % (", float[4, 3] z", "[n] z = Neg (t)"), shapes))
    assert found.reason == "n reads it, too, and not as a weight"
    (found,) = candidates_of(model(also, shapes))
    assert found.reason == "it is an output of the graph, too"


def test_quantised_weights_are_none() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 3] y) {
      w = DequantizeLinear (q, scale)
      y = MatMul (x, w)
    }"""
    given: Arrays = {"q": np.ones((4, 3), np.int8), "scale": np.array(0.1, np.float32)}
    assert candidates_of(normalize(load(proto_of(text, given)))) == ()
