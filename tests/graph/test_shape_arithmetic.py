"""Shapes that the graph computes, element by element."""

import numpy as np
import pytest
from oracle import proto_of

from onnxtrim.graph import infer_shapes, load
from onnxtrim.graph.shape_arithmetic import Element, computed_shapes

CONSTANTS = {
    "zero": np.array(0), "first": np.array([0]), "last": np.array([-1]), "two": np.array([2]),
    "four": np.array([4]), "rest": np.array([-1]), "pair": np.array([1, 3]), "big": np.array([9]),
    "step": np.array([2]), "end": np.array([2**62]), "back": np.array([-1]),
    "many": np.arange(65), "table": np.array([[1, 2], [3, 4]]), "weight": np.array([1.5, 2.5]),
    "float": np.array([6.0], np.float32),
}  # fmt: skip


def elements(body: str, opset: int = 17) -> tuple[Element, ...] | None:
    """Returns what is known of `t`, computed from x of (N, 3, H, 5) and fed integers f (2,)."""
    used = {name: array for name, array in CONSTANTS.items() if name in body}
    text = f"""<ir_version: 8, opset_import: ["": {opset}, "my": 1]>
    g (float[N,3,H,5] x, int64[2] f, int64[K] g, float s, float[16777217] l) => (int64[r] y) {{
        {body}
        y = my.Sink (t)
    }}"""
    graph = infer_shapes(load(proto_of(text, used))).graph
    known = {str(value.name): found for value, found in computed_shapes(graph).items()}
    return known.get("t")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("t = Shape (x)", ("N", 3, "H", 5)),
        ("t = Shape <start = 1, end = 3> (x)", (3, "H")),
        ("t = Shape <start = -2> (x)", ("H", 5)),
        ("t = Shape (s)", ()),
        ("a = Shape (x) t = Gather (a, zero)", ("N",)),
        ("a = Shape (x) t = Gather (a, last)", (5,)),
        ("a = Shape (x) t = Gather (a, pair)", (3, 5)),
        ("a = Shape (x) b = Gather (a, zero) t = Unsqueeze (b, first)", ("N",)),
        ("a = Shape (x) b = Cast <to = 6> (a) t = Cast <to = 7> (b)", ("N", 3, "H", 5)),
        ("a = Shape (x) b = Cast <to = 1> (a) t = Cast <to = 7> (b)", ("N", 3, "H", 5)),
        ("a = Shape (x) b = Cast <to = 11> (a) t = Cast <to = 7> (b)", ("N", 3, "H", 5)),
        ("a = Shape (l) b = Cast <to = 11> (a) t = Cast <to = 7> (b)", (2**24 + 1,)),
        ("a = Shape (x) b = Gather (a, first) t = Squeeze (b)", ("N",)),
        ("a = Shape (x) t = Identity (a)", ("N", 3, "H", 5)),
        ("a = Shape (x) b = Gather (a, first) t = Concat <axis = 0> (b, rest)", ("N", -1)),
        ("a = Shape (x) t = Concat <axis = 0> (a, f)", ("N", 3, "H", 5, None, None)),
        ("a = Shape (x) t = Slice (a, first, two)", ("N", 3)),
        ("a = Shape (x) t = Slice (a, last, end)", (5,)),
        ("a = Shape (x) t = Slice (a, first, end, first, step)", ("N", "H")),
        ("a = Shape (x) t = Slice (a, first, last)", ("N", 3, "H")),
        ("a = Shape (x) b = Gather (a, pair) t = Mul (b, b)", (9, 25)),
        ("a = Shape (x) t = Mul (a, a)", (None, 9, None, 25)),
    ],
)
def test_what_is_known(body: str, expected: tuple[Element, ...]) -> None:
    assert elements(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        "a = Shape (x) t = Gather (a, f)",  # fed indices
        "a = Shape (x) t = Gather (a, big)",  # out of range
        "t = Gather (f, zero)",  # fed data
        "t = Slice (f, first, two)",
        "a = Shape (x) t = Slice (a, f, f)",  # fed bounds
        "a = Shape (x) t = Slice (a, first, two, first, f)",  # fed steps
        "a = Shape (x) t = Concat <axis = 0> (a, g)",  # an operand of unknown length
        "a = Shape (x) b = Gather (a, pair) t = Mul (b, f)",
        "a = Shape (x) t = Mul (a, two)",  # broadcast: not followed
        "t = Concat <axis = 0> (many, first)",  # longer than any shape
        "a = my.Shape (x) t = Identity (a)",  # of another domain
        "a = Shape (x) t = Neg (a)",  # not followed
        "a = my.Thing (x) t = Shape (a)",  # of a tensor of unknown rank
        "a = Shape (x) t = Cast <to = 9> (a)",  # true or false
        "a = Shape (x) b = Cast <to = 2> (a) t = Cast <to = 7> (b)",  # modulo 256
        "a = Shape (l) b = Cast <to = 1> (a) t = Cast <to = 7> (b)",  # rounded to 2 ** 24
        "t = Cast <to = 7> (f)",  # fed
    ],
)
def test_what_is_not_known(body: str) -> None:
    assert elements(body) is None


def test_bounds_of_a_slice_were_attributes_before_opset_10() -> None:
    body = "a = Shape (x) t = Slice <axes = [0], starts = [1], ends = [3]> (a)"
    assert elements(body, opset=9) == (3, "H")


def test_constants_are_short_integer_vectors() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {
        y = Relu (x)
    }"""
    graph = load(proto_of(text, CONSTANTS)).graph
    known = {str(value.name): found for value, found in computed_shapes(graph).items()}
    assert known["zero"] == (0,)
    assert known["pair"] == (1, 3)
    assert known.keys() == CONSTANTS.keys() - {"many", "table", "weight", "float"}


def test_rows_of_a_matrix_are_not_taken_for_elements_of_a_vector() -> None:
    # b is (1, 4): its row 0 is the whole shape, not its first size
    found = elements("a = Shape (x) b = Unsqueeze (a, first) t = Gather <axis = 0> (b, zero)")
    assert found in (None, ("N", 3, "H", 5))
