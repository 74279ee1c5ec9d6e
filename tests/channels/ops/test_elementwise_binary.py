"""Arithmetic on several operands: positions that meet go together."""

import numpy as np
import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code

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


def test_no_macs_and_no_weight() -> None:
    case = with_constant("Add (h, c)", (4, 1, 1))
    assert case.macs("middle", h=MAP, c=(4, 1, 1), q=MAP) == 0
    assert case.weights("middle") == ()
