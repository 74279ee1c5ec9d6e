"""Which models can take each other's place."""

import pytest
from oracle import proto_of

from onnxtrim.graph import load
from onnxtrim.graph.interface import same_interface

HEAD = '<ir_version: 8, opset_import: ["": 17]> g '
PLAIN = "(float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }"


def same(one: str, other: str) -> bool:
    return same_interface(load(proto_of(HEAD + one, {})), load(proto_of(HEAD + other, {})))


@pytest.mark.parametrize(
    "other",
    [
        PLAIN,
        "(float[N, 2] x) => (float[N, 2] y) { h = Relu(x) y = Tanh(h) }",
        "(float[N, 2] x) => (float[N, M] y) { y = Relu(x) }",  # a size that is not stated
        "(float[B, 2] x) => (float[B, 2] y) { y = Relu(x) }",
    ],
)
def test_what_lies_between_inputs_and_outputs_does_not_matter(other: str) -> None:
    assert same(PLAIN, other)
    assert same(other, PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        "(float[N, 2] z) => (float[N, 2] y) { y = Relu(z) }",
        "(float[N, 2] x) => (float[N, 2] z) { z = Relu(x) }",
        "(float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }",
        "(float[N, 2] x) => (float[N, 3] y) { y = Relu(x) }",
        "(float[N, 2] x) => (float[2] y) { y = Relu(x) }",
        "(double[N, 2] x) => (float[N, 2] y) { y = Cast<to = 1>(x) }",
        "(float[N, 2] x) => (double[N, 2] y) { y = Cast<to = 11>(x) }",
        "(float[N, 2] x) => (float[N, 2] y, float[N, 2] z) { y = Relu(x) z = Relu(x) }",
        "(float[N, 2] x, float[1] w) => (float[N, 2] y) { y = Mul(x, w) }",
    ],
)
def test_names_types_and_sizes_do(other: str) -> None:
    assert not same(PLAIN, other)
    assert not same(other, PLAIN)
