"""Arithmetic on several operands: positions that meet go together."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers

from onnxtrim.channels import Code
from onnxtrim.channels.ops import RULES
from onnxtrim.channels.ops.elementwise_binary import ElementwiseBinary

MAP = (2, 4, 5, 6)
"""What `h` is in a run: batch, channels, height, width: four different sizes."""


def with_constant(expression: str, shape: tuple[int, ...], opset: int = 17) -> Analysed:
    """Returns conv -> arithmetic with a positive constant `c` -> conv."""
    constant = np.random.default_rng(5).uniform(0.5, 1.5, shape).astype(np.float32)
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        f"""
        [first] h = Conv (x, w1)
        p = Sigmoid (h)
        [middle] q = {expression}
        [last] y = Conv (q, w2)
        """,
        opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), c=constant,
    )  # fmt: skip


class TestConstants:
    """One operand is an initializer that broadcasts over the other."""

    @pytest.mark.parametrize("expression", ["Add (h, c)", "Add (c, h)", "Div (c, p)", "Mul (h, c)"])
    @pytest.mark.parametrize(
        ("shape", "left"),
        [
            ((4, 1, 1), (3, 1, 1)),
            ((1, 4, 1, 1), (1, 3, 1, 1)),
            ((4, 5, 6), (3, 5, 6)),
            ((1, 4, 1, 6), (1, 3, 1, 6)),
        ],
    )
    def test_a_constant_a_channel_is_cut_with_it(
        self, expression: str, shape: tuple[int, ...], left: tuple[int, ...]
    ) -> None:
        case = with_constant(expression, shape)
        assert case.pattern(("h", 1), ("c", len(shape) - 3), ("q", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 2)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "c": left,
        }  # fmt: skip
        kept = initializers(case.model)["c"].take([0, 1, 3], axis=len(shape) - 3)
        assert initializers(case.cut(case.units("h", 1, 2)))["c"].tolist() == kept.tolist()

    @pytest.mark.parametrize("expression", ["Add (h, c)", "Sub (c, h)", "Mul (c, h)", "Pow (p, c)"])
    @pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (1, 1, 1, 1), (6,), (5, 1), (1, 5, 6)])
    def test_a_constant_for_all_channels_stays(
        self, expression: str, shape: tuple[int, ...]
    ) -> None:
        case = with_constant(expression, shape)
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "w1": (2, 3, 1, 1),
            "w2": (2, 2, 1, 1),
        }

    @pytest.mark.parametrize("op", ["Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"])
    @pytest.mark.parametrize("order", ["p, c", "c, p"])
    def test_every_operator_in_either_order(self, op: str, order: str) -> None:
        case = with_constant(f"{op} ({order})", (4, 1, 1))
        assert case.sizes_after(case.units("h", 1, 1))["c"] == (3, 1, 1)

    @pytest.mark.parametrize("opset", [7, 8, 13, 21])
    def test_through_the_operator_sets(self, opset: int) -> None:
        case = with_constant("Add (h, c)", (4, 1, 1), opset)
        assert case.sizes_after(case.units("h", 1, 1))["c"] == (3, 1, 1)

    def test_a_constant_wider_than_the_map_widens_it_and_freezes_the_map(self) -> None:
        # one channel is stretched over the 4 of the constant: it cannot go
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            "[first] h = Conv (x, w1) [middle] q = Mul (h, c) [last] y = Conv (q, w2)",
            w1=(1, 3, 1, 1), w2=(2, 4, 1, 1), c=(4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == (
            "broadcast: axis 1 of h is stretched over several positions"
        )

    def test_before_opset_7_operands_are_aligned_by_an_attribute_nobody_describes(self) -> None:
        # axis = 1 puts c (4,) along the channels of h; from the right it would meet the width
        case = with_constant("Add <broadcast = 1, axis = 1> (h, c)", (4,), opset=6)
        assert case.groups == {}
        assert case.reasons["first"].code == Code.UNKNOWN_OPERATOR


class TestTensors:
    """Both operands are computed."""

    @pytest.mark.parametrize("op", ["Add", "Sum", "Max", "Mul"])
    @pytest.mark.parametrize("order", ["h, g", "g, h"])
    def test_a_residual_stream_is_one_group_with_every_writer(self, op: str, order: str) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            f"""
            [stem] h = Conv (x, w1)
            [up] a = Conv (h, w2)
            [down] g = Conv (a, w3, b3)
            s = {op} ({order})
            [last] y = Conv (s, w4)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), w3=(4, 5, 1, 1), b3=(4,), w4=(2, 4, 1, 1),
        )  # fmt: skip
        stream = case.groups["stem"]
        assert [use.node for use in stream.writers] == ["stem", "down"]
        assert [use.node for use in stream.readers] == ["up", "last"]
        assert case.groups["up"].width == 5
        assert case.pattern(("w1", 0), ("w3", 0), ("s", 1)) == [[0, 1, 2, 3]] * 3
        sizes = case.sizes_after(case.units("h", 1, 0, 2), case.units("a", 1, 4))
        assert sizes == {
            "w1": (2, 3, 1, 1), "w2": (4, 2, 1, 1), "w3": (2, 4, 1, 1), "b3": (2,),
            "w4": (2, 2, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("order", ["h, gate", "gate, h"])
    def test_squeeze_and_excite_gates_go_with_their_channels(self, order: str) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            f"""
            [stem] h = Conv (x, w1)
            pooled = GlobalAveragePool (h)
            [squeeze] s = Conv (pooled, w2, b2)
            r = Relu (s)
            [excite] e = Conv (r, w3, b3)
            gate = Sigmoid (e)
            q = Mul ({order})
            [last] y = Conv (q, w4)
            """,
            w1=(4, 3, 1, 1), w2=(3, 4, 1, 1), b2=(3,), w3=(4, 3, 1, 1), b3=(4,),
            w4=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("gate", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 4
        assert [use.node for use in case.groups["stem"].writers] == ["stem", "excite"]
        sizes = case.sizes_after(case.units("h", 1, 1), case.units("s", 1, 0))
        assert sizes == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "b2": (2,), "w3": (3, 2, 1, 1), "b3": (3,),
            "w4": (2, 3, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("order", ["h, gate", "gate, h"])
    def test_a_spatial_gate_freezes_its_own_writer_only(self, order: str) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            f"""
            [stem] h = Conv (x, w1)
            [spatial] g = Conv (h, w2)
            gate = Sigmoid (g)
            q = Mul ({order})
            [last] y = Conv (q, w3)
            """,
            w1=(4, 3, 1, 1), w2=(1, 4, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["stem"]
        assert case.reasons["spatial"].code == Code.BROADCAST
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "w1": (2, 3, 1, 1), "w2": (1, 2, 1, 1), "w3": (2, 2, 1, 1),
        }  # fmt: skip

    def test_three_operands(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            """
            [a] p = Conv (x, w1)
            [b] q = Conv (x, w2)
            [c] r = Conv (x, w3)
            s = Sum (p, q, r)
            [last] y = Conv (s, w4)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(4, 3, 1, 1), w4=(2, 4, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["a"]
        assert case.sizes_after(case.units("s", 1, 2)) == {
            "w1": (3, 3, 1, 1), "w2": (3, 3, 1, 1), "w3": (3, 3, 1, 1), "w4": (2, 3, 1, 1),
        }  # fmt: skip

    def test_what_meets_the_input_of_the_graph_is_frozen_with_it(self) -> None:
        case = analysed(
            "(float[N,4,5,6] x) => (float[N,2,5,6] y)",
            "[first] h = Conv (x, w1) s = Add (h, x) [last] y = Conv (s, w2)",
            w1=(4, 4, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"

    def test_what_meets_an_unknown_width_is_frozen(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x, float[N,K,5,6] k) => (float[N,2,5,6] y)",
            "[first] h = Conv (x, w1) s = Add (k, h) [last] y = Conv (s, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}

    def test_a_width_of_one_is_known_where_inference_does_not_know_it(self) -> None:
        # how far the mask is padded in its first axis is computed, so nothing is inferred of it
        case = analysed(
            "(float[2,3] x, int64[2] more) => (float[2,2] y)",
            """
            [first] h = MatMul (x, w1)
            pads = Mul (more, nothing)
            mask = Pad (figures, pads, , rows)
            q = Add (h, mask)
            [last] y = MatMul (q, w2)
            """,
            opset=18, w1=(3, 4), w2=(4, 2), figures=(2, 1),
            nothing=np.zeros(2, np.int64), rows=np.array([0]),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("q", 1)) == [[0, 1, 2, 3], [0, 1, 2, 3]]
        assert case.pattern(("figures", 1), ("mask", 1)) == [[0], [0]]
        assert case.sizes_after(case.units("h", 1, 1, 2)) == {"w1": (3, 2), "w2": (2, 2)}

    def test_channels_that_meet_positions_are_frozen(self) -> None:
        # p (N, 4) has channels on axis 1; h (N, 3, 4) has positions there: they meet on the right
        case = analysed(
            "(float[N,3] v, float[3,2,4] x) => (float[3,3,4] y)",
            """
            [first] p = MatMul (v, w1)
            [other] h = Conv (x, w2)
            y = Add (h, p)
            """,
            w1=(3, 4), w2=(3, 2, 1),
        )  # fmt: skip
        assert case.groups == {}

    def test_a_tensor_and_itself(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            "[first] h = Conv (x, w1) s = Mul (h, h) [last] y = Conv (s, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)

    def test_symbolic_sizes_do_not_matter(self) -> None:
        case = analysed(
            "(float[N,3,H,W] x) => (float[N,2,H,W] y)",
            """
            [stem] h = Conv (x, w1)
            [back] g = Conv (h, w2)
            s = Add (h, g)
            [last] y = Conv (s, w3)
            """,
            w1=(4, 3, 1, 1), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "w1": (3, 3, 1, 1), "w2": (3, 3, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip


def between(body: str, opset: int = 17, **weights: Given) -> Analysed:
    """Returns conv (h) -> `body` (q) -> conv, with a Sigmoid p of h at hand."""
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        f"[first] h = Conv (x, w1) p = Sigmoid (h) {body} [last] y = Conv (q, w2)",
        weights,
        opset=opset,
        w1=(4, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )


def assert_cut(case: Analysed, **left: tuple[int, ...]) -> None:
    """Fails unless channel 2 of 4 can go, and constants become as large as `left` says."""
    sizes = case.sizes_after(case.units("h", 1, 2))
    assert sizes == {"w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), **left}


COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGIC = ("And", "Or", "Xor")
BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor")


class TestIntegersAndTruth:
    """Operators whose operands, or results, are no floats."""

    @pytest.mark.parametrize("op", COMPARISONS)
    @pytest.mark.parametrize("order", ["r, c", "c, r"])
    def test_comparisons(self, op: str, order: str) -> None:
        # what is compared are small integers, so that Equal is true now and then
        case = between(
            f"""
            wide = Mul (h, four)
            s = Floor (wide)
            r = Cast <to = 6> (s)
            b = {op} ({order})
            q = Cast <to = 1> (b)
            """,
            four=np.array(4, np.float32),
            c=np.array([-1, 1, 0, 0], np.int32).reshape(4, 1, 1),
        )
        assert case.pattern(("h", 1), ("c", 0), ("b", 1)) == [[0, 1, 2, 3]] * 3
        assert_cut(case, c=(3, 1, 1))

    @pytest.mark.parametrize("opset", [7, 9, 13])
    def test_comparisons_through_the_operator_sets(self, opset: int) -> None:
        bounds = np.array([0.1, -0.2, 0, 0.3], np.float32).reshape(4, 1, 1)
        case = between("b = Greater (h, c) q = Cast <to = 1> (b)", opset, c=bounds)
        assert_cut(case, c=(3, 1, 1))

    @pytest.mark.parametrize("op", LOGIC)
    @pytest.mark.parametrize("order", ["t, c", "c, t"])
    def test_logic(self, op: str, order: str) -> None:
        case = between(
            f"t = Greater (h, zero) b = {op} ({order}) q = Cast <to = 1> (b)",
            zero=np.array(0, np.float32), c=np.array([op == "And"] * 4).reshape(4, 1, 1),
        )  # fmt: skip
        assert_cut(case, c=(3, 1, 1))

    @pytest.mark.parametrize("op", BITS)
    def test_bits(self, op: str) -> None:
        case = between(
            f"e = Exp (h) i = Cast <to = 6> (e) b = {op} (i, c) q = Cast <to = 1> (b)",
            18,
            c=np.array([1, 3, 5, 7], np.int32).reshape(4, 1, 1),
        )
        assert_cut(case, c=(3, 1, 1))

    @pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
    def test_shifted_bits(self, direction: str) -> None:
        case = between(
            f"""
            e = Exp (h)
            i = Cast <to = 12> (e)
            b = BitShift <direction = "{direction}"> (i, c)
            q = Cast <to = 1> (b)
            """,
            c=np.array([0, 1, 0, 2], np.uint32).reshape(4, 1, 1),
        )
        assert_cut(case, c=(3, 1, 1))

    @pytest.mark.parametrize("opset", [10, 13])
    def test_remainders(self, opset: int) -> None:
        constant = np.array([0.25, 0.5, 0.75, 1.5], np.float32).reshape(4, 1, 1)
        assert_cut(between("q = Mod <fmod = 1> (h, c)", opset, c=constant), c=(3, 1, 1))

    def test_every_listed_name_is_covered_here(self) -> None:
        mine = [rule for rule in RULES if isinstance(rule, ElementwiseBinary)]
        listed = {op.name for rule in mine for op in rule.ops}
        arithmetic = {"Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"}
        others = {"BitShift", "Mod", "PRelu", "Where"}
        assert listed == arithmetic | others | {*COMPARISONS, *LOGIC, *BITS}


class TestWhere:
    """Three operands of one shape: a condition and two sides."""

    @pytest.mark.parametrize("opset", [9, 16, 21])
    @pytest.mark.parametrize("sides", ["h, p", "p, h"])
    def test_a_condition_a_channel_is_cut(self, sides: str, opset: int) -> None:
        case = between(
            f"q = Where (c, {sides})", opset, c=np.array([[[True]], [[False]], [[True]], [[False]]])
        )
        assert case.pattern(("h", 1), ("c", 0), ("q", 1)) == [[0, 1, 2, 3]] * 3
        assert_cut(case, c=(3, 1, 1))
        assert initializers(case.cut(case.units("h", 1, 2)))["c"].reshape(-1).tolist() == [
            True, False, False,
        ]  # fmt: skip

    def test_a_condition_for_all_channels_stays(self) -> None:
        assert_cut(between("q = Where (c, h, p)", c=np.arange(30).reshape(5, 6) % 2 == 0))

    @pytest.mark.parametrize("expression", ["Where (t, h, c)", "Where (t, c, h)"])
    def test_a_side_a_channel_is_cut_under_a_computed_condition(self, expression: str) -> None:
        case = between(
            f"t = Greater (h, zero) q = {expression}", zero=np.array(0, np.float32), c=(4, 1, 1)
        )
        assert_cut(case, c=(3, 1, 1))

    def test_two_branches_and_a_condition_go_together(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            """
            [a] p = Conv (x, w1)
            [b] q = Conv (x, w2)
            [c] r = Conv (x, w3)
            t = Greater (r, zero)
            z = Where (t, p, q)
            [last] y = Conv (z, w4)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(4, 3, 1, 1), w4=(2, 4, 1, 1),
            zero=np.array(0, np.float32),
        )  # fmt: skip
        assert list(case.groups) == ["a"]
        assert case.sizes_after(case.units("r", 1, 0, 1)) == {
            "w1": (2, 3, 1, 1), "w2": (2, 3, 1, 1), "w3": (2, 3, 1, 1), "w4": (2, 2, 1, 1),
        }  # fmt: skip


class TestPRelu:
    """A learnt slope."""

    @pytest.mark.parametrize("opset", [7, 9, 16])
    @pytest.mark.parametrize(
        ("shape", "left"),
        [((4, 1, 1), (3, 1, 1)), ((1, 4, 1, 1), (1, 3, 1, 1)), ((4, 5, 6), (3, 5, 6))],
    )
    def test_a_slope_a_channel_is_cut(
        self, shape: tuple[int, ...], left: tuple[int, ...], opset: int
    ) -> None:
        case = between("[middle] q = PRelu (h, slope)", opset, slope=shape)
        assert case.pattern(("h", 1), ("slope", len(shape) - 3)) == [[0, 1, 2, 3]] * 2
        assert_cut(case, slope=left)
        kept = initializers(case.model)["slope"].take([0, 1, 3], axis=len(shape) - 3)
        after = initializers(case.cut(case.units("h", 1, 2)))["slope"]
        assert after.tolist() == kept.tolist()

    @pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (1, 1, 1, 1), (6,), (5, 1)])
    def test_a_slope_for_all_channels_stays(self, shape: tuple[int, ...]) -> None:
        slope = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        assert_cut(between("[middle] q = PRelu (h, slope)", slope=slope))

    def test_of_flat_features(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[N,2] y)",
            "[first] h = MatMul (x, w1) q = PRelu (h, slope) [last] y = MatMul (q, w2)",
            w1=(3, 4), w2=(4, 2), slope=(4,),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "w1": (3, 3), "w2": (3, 2), "slope": (3,),
        }  # fmt: skip

    def test_it_is_an_activation_that_makes_no_zeros(self) -> None:
        case = between("[middle] q = PRelu (h, slope)", slope=(4, 1, 1))
        taps = {tap.tensor: tap for tap in case.groups["first"].taps}
        assert (taps["q"].activation, taps["q"].zeroes) == (True, False)


class TestExtremes:
    """`Max` and `Min` of one operand or of many."""

    @pytest.mark.parametrize("op", ["Max", "Min", "Mean", "Sum"])
    def test_of_one(self, op: str) -> None:
        assert_cut(between(f"q = {op} (h)"))

    @pytest.mark.parametrize("op", ["Max", "Min"])
    @pytest.mark.parametrize("opset", [8, 12, 13])
    def test_of_three(self, op: str, opset: int) -> None:
        case = between(f"q = {op} (h, c, d)", opset, c=(4, 1, 1), d=(6,))
        assert_cut(case, c=(3, 1, 1))


def test_no_macs_and_no_weight() -> None:
    case = with_constant("Add (h, c)", (4, 1, 1))
    assert case.macs("middle", h=MAP, c=(4, 1, 1), q=MAP) == 0
    assert case.weights("middle") == ()
