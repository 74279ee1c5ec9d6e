"""Gemm: transposed or not, with every shape of bias."""

import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def two_layers(
    attributes: str = "", trans_b: int = 0, bias: tuple[int, ...] | None = None
) -> Analysed:
    """Returns 5 -> 4 -> 2 features over a batch of 3, the first with the given bias."""
    operands = "x, w1" if bias is None else "x, w1, b1"
    return analysed(
        "(float[3,5] x) => (float[3,2] y)",
        f"""
        [first] h = Gemm <transB = {trans_b} {attributes}> ({operands})
        r = Relu (h)
        [second] y = Gemm <transB = {trans_b}> (r, w2)
        """,
        {} if bias is None else {"b1": bias},
        w1=(4, 5) if trans_b else (5, 4), w2=(2, 4) if trans_b else (4, 2),
    )  # fmt: skip


class TestUnits:
    """Which axis of the weight makes channels, and which reads them."""

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_columns_write_and_rows_read_the_other_way_round_when_transposed(
        self, trans_b: int
    ) -> None:
        case = two_layers(trans_b=trans_b, bias=(4,))
        keys = ("w1", 1 - trans_b), ("b1", 0), ("h", 1), ("r", 1), ("w2", trans_b)
        assert case.pattern(*keys) == [[0, 1, 2, 3]] * 5
        assert set(case.groups["first"].axes) == set(keys)
        assert [(use.node, use.axis) for use in case.groups["first"].readers] == [
            ("second", trans_b)
        ]

    def test_the_batch_carries_nothing(self) -> None:
        assert not two_layers().carries("h", 0)


class TestCut:
    """The cut equals the masked original."""

    @pytest.mark.parametrize("trans_b", [0, 1])
    @pytest.mark.parametrize("attributes", ["", ", alpha = 0.5", ", alpha = 0.25, beta = 2.0"])
    @pytest.mark.parametrize(
        ("bias", "left"),
        [
            (None, None),
            ((), ()),
            ((1,), (1,)),
            ((1, 1), (1, 1)),
            ((4,), (2,)),
            ((1, 4), (1, 2)),
            ((3, 1), (3, 1)),
            ((3, 4), (3, 2)),
        ],
    )
    def test_two_of_four(
        self,
        bias: tuple[int, ...] | None,
        left: tuple[int, ...] | None,
        attributes: str,
        trans_b: int,
    ) -> None:
        case = two_layers(attributes, trans_b, bias)
        thinner = initializers(case.cut(case.units("h", 1, 0, 3)))
        assert thinner["w1"].shape == ((2, 5) if trans_b else (5, 2))
        assert thinner["w2"].shape == (2, 2)
        before = initializers(case.model)
        if trans_b:
            assert thinner["w1"].tolist() == before["w1"][[1, 2]].tolist()
            assert thinner["w2"].tolist() == before["w2"][:, [1, 2]].tolist()
        else:
            assert thinner["w1"].tolist() == before["w1"][:, [1, 2]].tolist()
            assert thinner["w2"].tolist() == before["w2"][[1, 2]].tolist()
        if left is not None:
            assert thinner["b1"].shape == left

    def test_a_bias_that_is_computed_ties_its_channels_to_those_of_the_product(self) -> None:
        case = analysed(
            "(float[3,5] x) => (float[3,2] y)",
            """
            [first] h = Gemm (x, w1)
            [second] g = Gemm (h, w2, h)
            [third] y = Gemm (g, w3)
            """,
            w1=(5, 4), w2=(4, 4), w3=(4, 2),
        )  # fmt: skip
        assert (
            case.pattern(("h", 1), ("w2", 0), ("w2", 1), ("g", 1), ("w3", 0)) == [[0, 1, 2, 3]] * 5
        )
        assert case.sizes_after(case.units("h", 1, 2)) == {
            "w1": (5, 3),
            "w2": (3, 3),
            "w3": (3, 2),
        }

    def test_channels_on_the_first_axis_are_read_when_the_left_side_is_transposed(self) -> None:
        # h (3, 4) has channels on axis 1; g = h' w2 is (4, 6) with them on axis 0; y = g' w3
        case = analysed(
            "(float[3,5] x) => (float[6,2] y)",
            """
            [first] h = Gemm (x, w1)
            [second] g = Gemm <transA = 1> (h, w2)
            [third] y = Gemm <transA = 1> (g, w3)
            """,
            w1=(5, 4), w2=(3, 6), w3=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 0), ("w3", 0)) == [[0, 1, 2, 3]] * 3
        assert case.reasons["second"].code == Code.GRAPH_OUTPUT
        assert case.sizes_after(case.units("h", 1, 0, 1)) == {"w1": (5, 2), "w3": (2, 2)}


class TestFrozen:
    """What cannot be described as a layer stays."""

    def test_a_product_of_two_computed_tensors(self) -> None:
        case = analysed(
            "(float[3,5] x) => (float[4,4] y)",
            """
            [left] a = Gemm (x, w1)
            [right] b = Gemm (x, w2)
            [product] y = Gemm <transA = 1> (a, b)
            """,
            w1=(5, 4), w2=(5, 4),
        )  # fmt: skip
        assert case.groups == {}
        assert case.weights("product") == ()
        assert case.reasons["right"].code == Code.GRAPH_OUTPUT

    def test_the_inner_axis_of_a_product_of_two_computed_tensors(self) -> None:
        case = analysed(
            "(float[3,5] x) => (float[3,3] y)",
            """
            [left] a = Gemm (x, w1)
            [right] b = Gemm (x, w2)
            [product] y = Gemm <transB = 1> (a, b)
            """,
            w1=(5, 4), w2=(5, 4),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["left"]
        assert (reason.code, reason.node) == (Code.MIXED, "product")
        assert reason.sentence == "both factors are computed"


class TestFigures:
    """What the rest of the program asks of a rule."""

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_macs_are_rows_times_columns_times_the_inner_size(self, trans_b: int) -> None:
        weight = (4, 5) if trans_b else (5, 4)
        assert two_layers(trans_b=trans_b).macs("first", w1=weight, h=(3, 4)) == 3 * 4 * 5

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_the_weight_is_the_right_hand_side(self, trans_b: int) -> None:
        weight = two_layers(trans_b=trans_b).weights("first")[0]
        assert weight is not None
        assert (weight.value.name, weight.writes, weight.reads) == ("w1", 1 - trans_b, trans_b)

    def test_nothing_is_computed_in_blocks(self) -> None:
        case = two_layers()
        assert case.rule("first").blocked_axes(case.node("first")) == ()
        assert case.groups["first"].block_positions == ()
