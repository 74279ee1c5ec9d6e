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
    "Swish": 24, "Tanh": 17, "ThresholdedRelu": 17,
}  # fmt: skip
"""Non-linearities that are listed, with an operator set that has them."""

OTHERS = {
    "Abs", "Asinh", "Atan", "Ceil", "Cos", "Cosh", "Dropout", "Erf", "Exp", "Floor", "Neg",
    "Round", "Shrink", "Sign", "Sin", "Sinh", "Tan",
}  # fmt: skip
OF_THE_UNIT_INTERVAL = {"Acos", "Asin", "Atanh", "Log", "Reciprocal", "Sqrt"}
"""Functions that are defined, and finite, for what a Sigmoid makes."""


def around(operator: str, opset: int = 17, before: str = "", **weights: Given) -> Analysed:
    """Returns conv -> nodes `before` -> `operator` (with attributes and operands) -> conv."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [first] h = Conv (x, w1, b1)
        p = Sigmoid (h)
        {before}
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

    @pytest.mark.parametrize("op", sorted(OTHERS | OF_THE_UNIT_INTERVAL | set(ACTIVATIONS)))
    def test_a_function_without_operands(self, op: str) -> None:
        source = "p" if op in OF_THE_UNIT_INTERVAL else "h"
        case = around(f"{op} ({source})", ACTIVATIONS.get(op, 17))
        assert case.pattern(("h", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("q", axis) for axis in (0, 2, 3)] == [False] * 3
        assert activates(case) is (op in ACTIVATIONS)
        sizes = case.sizes_after(case.units("h", 1, 0, 2))
        assert sizes == {"w1": (2, 3, 1, 1), "b1": (2,), "w2": (2, 2, 1, 1)}

    @pytest.mark.parametrize(
        ("before", "operator", "opset"),
        [
            ("e = Exp (p)", "Acosh (e)", 17),
            ("r = Relu (h) b = Cast <to = 9> (r) n = Not (b)", "Cast <to = 1> (n)", 17),
            ("e = Exp (h) b = Cast <to = 6> (e) n = BitwiseNot (b)", "Cast <to = 1> (n)", 18),
            ("r = Sqrt (h) n = IsNaN (r)", "Cast <to = 1> (n)", 17),
            ("r = Sqrt (h) n = IsNaN (r)", "Cast <to = 1> (n)", 20),
            ("r = Relu (h) i = Reciprocal (r) n = IsInf (i)", "Cast <to = 1> (n)", 17),
            ("r = Relu (h) i = Reciprocal (r) n = IsInf (i)", "Cast <to = 1> (n)", 20),
        ],
    )
    def test_functions_of_what_others_made(self, before: str, operator: str, opset: int) -> None:
        case = around(operator, opset, before)
        assert case.pattern(("h", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert not activates(case)
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {
            "w1": (2, 3, 1, 1), "b1": (2,), "w2": (2, 2, 1, 1),
        }  # fmt: skip

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

    @pytest.mark.parametrize("opset", [15, 19, 21])
    def test_what_lends_its_type_stays_free(self, opset: int) -> None:
        # h and g are cut apart from each other: g only says that q is float
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,2,5,5] z)",
            """
            [first] h = Conv (x, w1)
            [other] g = Conv (x, w3)
            wide = Cast <to = 11> (h)
            q = CastLike (wide, g)
            [last] y = Conv (q, w2)
            [end] z = Conv (g, w4)
            """,
            opset=opset,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(5, 3, 1, 1), w4=(2, 5, 1, 1),
        )  # fmt: skip
        assert {name: group.width for name, group in case.groups.items()} == {
            "first": 4, "other": 5,
        }  # fmt: skip
        sizes = case.sizes_after(case.units("h", 1, 0, 2), case.units("g", 1, 4))
        assert sizes == {
            "w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1), "w3": (4, 3, 1, 1), "w4": (2, 4, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("opset", [12, 13, 22])
    def test_a_dropout_with_a_ratio(self, opset: int) -> None:
        case = around("Dropout (h, ratio)", opset, ratio=np.array(0.5, np.float32))
        assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)

    def test_a_dropout_that_is_told_not_to_train(self) -> None:
        case = around(
            "Dropout (h, ratio, mode)", ratio=np.array(0.5, np.float32), mode=np.array(False)
        )
        assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)

    @pytest.mark.parametrize("fed", [False, True])
    def test_a_dropout_that_trains_or_may_freezes_what_it_gets(self, fed: bool) -> None:
        further: dict[str, Given] = {"ratio": np.array(0.5, np.float32)}
        if not fed:
            further["mode"] = np.array(True)
        case = analysed(
            f"(float[N,3,5,5] x {', bool mode' if fed else ''}) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [middle] q = Dropout (h, ratio, mode)
            [last] y = Conv (q, w2)
            """,
            further,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "middle")
        assert reason.sentence == "Dropout draws noise for all of h"

    @pytest.mark.parametrize("opset", [12, 13, 22])
    @pytest.mark.parametrize("mode", [None, np.array(True), np.array(False)])
    def test_a_dropout_that_may_train_draws_noise_for_all(
        self, opset: int, mode: Given | None
    ) -> None:
        fed = ", bool train" if mode is None else ""
        case = analysed(
            f"(float[N,3,5,5] x{fed}) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [noise] q = Dropout (h, ratio, train)
            [last] y = Conv (q, w2)
            """,
            {} if mode is None else {"train": mode},
            opset=opset,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), ratio=np.array(0.5, np.float32),
        )  # fmt: skip
        if mode is not None and not np.any(mode):
            assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)
            return
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "noise")
        assert reason.sentence == "Dropout draws noise for all of h"

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
        elsewhere = {
            "Acosh", "BitwiseNot", "Cast", "CastLike", "Clip", "Identity", "IsInf", "IsNaN", "Not",
        }  # fmt: skip
        assert unary == OTHERS | OF_THE_UNIT_INTERVAL | set(ACTIVATIONS) | elsewhere


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
        self.check(around(f"Clip ({operands})", opset, "", **used), zeroes)

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
