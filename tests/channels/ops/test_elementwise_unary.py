"""Functions of one element: channels pass through, whatever f(0) is."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed
from oracle import proto_of

from onnxtrim.channels import Code, analyze
from onnxtrim.channels.ops import RULES, rule_for
from onnxtrim.channels.ops.elementwise_unary import Activation, Clip, PassThrough, Relu
from onnxtrim.graph import infer_shapes, load

ACTIVATIONS = {
    "Celu": 17, "Elu": 17, "Gelu": 20, "HardSigmoid": 17, "HardSwish": 17, "LeakyRelu": 17,
    "Mish": 18, "Relu": 17, "Selu": 17, "Sigmoid": 17, "Softplus": 17, "Softsign": 17,
    "Tanh": 17, "ThresholdedRelu": 17,
}  # fmt: skip
"""Non-linearities that are listed, with an operator set that has them."""

OTHERS = {
    "Abs", "Ceil", "Dropout", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Round", "Sign",
    "Sqrt",
}  # fmt: skip
NEED_POSITIVE = {"Log", "Reciprocal", "Sqrt"}


def around(operator: str, opset: int = 17, **weights: Given) -> Analysed:
    """Returns conv -> `operator` (with its attributes and further operands) -> conv."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [first] h = Conv (x, w1, b1)
        p = Sigmoid (h)
        [middle] q = {operator}
        [last] y = Conv (q, w2)
        """,
        weights,
        opset=opset,
        w1=(4, 3, 1, 1),
        b1=(4,),
        w2=(2, 4, 1, 1),
    )


def activates(case: Analysed) -> bool:
    """Returns whether statistics are taken after the middle node."""
    return ("q", True) in {(tap.tensor, tap.activation) for tap in case.groups["first"].taps}


class TestPassing:
    """Every listed function hands the channels on, and cutting through it is exact."""

    @pytest.mark.parametrize("op", sorted(OTHERS | set(ACTIVATIONS)))
    def test_a_function_without_operands(self, op: str) -> None:
        source = "p" if op in NEED_POSITIVE else "h"
        case = around(f"{op} ({source})", ACTIVATIONS.get(op, 17))
        assert case.pattern(("h", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("q", axis) for axis in (0, 2, 3)] == [False] * 3
        sizes = case.sizes_after(case.units("h", 1, 0, 2))
        assert sizes == {"w1": (2, 3, 1, 1), "b1": (2,), "w2": (2, 2, 1, 1)}
        assert activates(case) is (op in ACTIVATIONS)

    def test_a_cast_there_and_back(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            wide = Cast <to = 11> (h)
            q = Cast <to = 1> (wide)
            [last] y = Conv (q, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("wide", 1), ("q", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 3))["w2"] == (2, 3, 1, 1)

    def test_an_identity_in_a_model_that_is_not_normalised(self) -> None:
        model = load(
            proto_of(
                '<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,2] y) {'
                "h = MatMul (x, w1) q = Identity (h) y = MatMul (q, w2) }",
                {"w1": np.ones((3, 4), np.float32), "w2": np.ones((4, 2), np.float32)},
            )
        )
        axes = analyze(infer_shapes(model)).axes
        assert axes["q", 1].tolist() == axes["h", 1].tolist()

    def test_the_mask_of_a_dropout_matches_its_input(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, bool[N,4,5,5] mask)",
            """
            [first] h = Conv (x, w1)
            q, mask = Dropout (h)
            [last] y = Conv (q, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph output: mask is an output of the graph"

    def test_every_listed_name_is_covered_here(self) -> None:
        unary = {op.name for rule in RULES if isinstance(rule, PassThrough) for op in rule.ops}
        assert unary == OTHERS | set(ACTIVATIONS) | {"Cast", "Clip", "Identity"}


class TestClip:
    """Bounds are attributes before opset 11 and operands since."""

    @pytest.mark.parametrize("opset", [7, 10])
    @pytest.mark.parametrize(
        ("bounds", "zeroes"),
        [
            ("<min = 0.0, max = 6.0>", True),
            ("<min = 0.0>", True),
            ("<min = -1.0, max = 1.0>", False),
            ("<min = 0.5, max = 1.0>", False),
            ("<max = 6.0>", False),
            ("", False),
        ],
    )
    def test_bounds_as_attributes(self, opset: int, bounds: str, zeroes: bool) -> None:
        case = around(f"Clip {bounds} (h)", opset)
        self.check(case, zeroes)

    @pytest.mark.parametrize("opset", [11, 13, 21])
    @pytest.mark.parametrize(
        ("operands", "zeroes"),
        [("h, zero, six", True), ("h, zero", True), ("h, low, six", False), ("h, , six", False)],
    )
    def test_bounds_as_operands(self, opset: int, operands: str, zeroes: bool) -> None:
        bounds = {"zero": 0.0, "six": 6.0, "low": -1.0}
        used = {name: np.array(v, np.float32) for name, v in bounds.items() if name in operands}
        self.check(around(f"Clip ({operands})", opset, **used), zeroes)

    def test_a_bound_that_is_fed_is_unknown(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float low) => (float[N,2,5,5] y)",
            "[first] h = Conv (x, w1) [middle] q = Clip (h, low) [last] y = Conv (q, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert not case.rule("middle").zeroes(case.node("middle"))

    def check(self, case: Analysed, zeroes: bool) -> None:
        """Fails unless the cut is exact and the tap says whether zeros are meaningful."""
        assert case.rule("middle").zeroes(case.node("middle")) is zeroes
        taps = {tap.tensor: tap for tap in case.groups["first"].taps}
        assert (taps["q"].activation, taps["q"].zeroes) == (True, zeroes)
        assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)


class TestZeroes:
    """Only a half-line of exact zeros, and nothing below them, makes a share of zeros a figure."""

    @pytest.mark.parametrize(
        ("operator", "zeroes"),
        [
            ("Relu (h)", True),
            ("ThresholdedRelu (h)", True),
            ("ThresholdedRelu <alpha = 0.0> (h)", True),
            ("ThresholdedRelu <alpha = -0.5> (h)", False),
            ("LeakyRelu (h)", False),
            ("HardSigmoid (h)", False),
            ("Gelu (h)", False),
            ("Abs (h)", False),
        ],
    )
    def test_by_operator(self, operator: str, zeroes: bool) -> None:
        case = around(operator, 20)
        assert case.rule("middle").zeroes(case.node("middle")) is zeroes

    def test_each_operator_has_the_rule_that_knows_it(self) -> None:
        for op, kind in (("Relu", Relu), ("ThresholdedRelu", Relu), ("Clip", Clip),
                         ("Tanh", Activation), ("Abs", PassThrough)):  # fmt: skip
            assert type(rule_for("", op, 17)) is kind


def test_a_refusal_passes_through_too() -> None:
    case = analysed(
        "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
        "r = Relu (x) [deep] d = Conv <group = 4> (r, wd) [last] y = Conv (d, w2)",
        wd=(4, 1, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["deep"].code == Code.GRAPH_INPUT
