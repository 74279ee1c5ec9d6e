"""Gemm: transposed or not, a constant on either side, with every shape of bias."""

import pytest
from cutting import Analysed, analysed, initializers, ints

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


def from_the_left(trans_a: int = 0, bias: tuple[int, ...] | None = None) -> Analysed:
    """Returns 5 -> 4 -> 2 rows over 3 columns, the constants on the left."""
    operands = "w1, x" if bias is None else "w1, x, b1"
    return analysed(
        "(float[5,3] x) => (float[2,3] y)",
        f"""
        [first] h = Gemm <transA = {trans_a}> ({operands})
        r = Relu (h)
        [second] y = Gemm <transA = {trans_a}> (w2, r)
        """,
        {} if bias is None else {"b1": bias},
        w1=(5, 4) if trans_a else (4, 5), w2=(4, 2) if trans_a else (2, 4),
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


class TestConstantOnTheLeft:
    """Channels are rows: the rows of the constant write them, its columns read them."""

    @pytest.mark.parametrize("trans_a", [0, 1])
    def test_rows_write_and_columns_read_the_other_way_round_when_transposed(
        self, trans_a: int
    ) -> None:
        case = from_the_left(trans_a, (4, 1))
        keys = ("w1", trans_a), ("b1", 0), ("h", 0), ("r", 0), ("w2", 1 - trans_a)
        assert case.pattern(*keys) == [[0, 1, 2, 3]] * 5
        assert set(case.groups["first"].axes) == set(keys)
        assert not case.carries("h", 1)

    @pytest.mark.parametrize("trans_a", [0, 1])
    @pytest.mark.parametrize(
        ("bias", "left"),
        [
            (None, None),
            ((), None),
            ((1,), None),
            ((3,), None),
            ((1, 3), None),
            ((4, 1), (3, 1)),
            ((4, 3), (3, 3)),
        ],
    )
    def test_one_of_four(
        self, bias: tuple[int, ...] | None, left: tuple[int, ...] | None, trans_a: int
    ) -> None:
        case = from_the_left(trans_a, bias)
        assert case.sizes_after(case.units("h", 0, 2)) == {
            "w1": (5, 3) if trans_a else (3, 5),
            "w2": (3, 2) if trans_a else (2, 3),
            **({} if left is None else {"b1": left}),
        }  # fmt: skip

    def test_what_it_reads_may_come_from_another_layer(self) -> None:
        # the channels of h lie on axis 1; `turned` reads them there by w2, with transB
        case = analysed(
            "(float[3,5] x) => (float[6,3] y)",
            """
            [first] h = Gemm (x, w1)
            [turned] y = Gemm <transB = 1> (w2, h)
            """,
            w1=(5, 4), w2=(6, 4),
        )  # fmt: skip
        assert case.pattern(("w1", 1), ("h", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {"w1": (5, 2), "w2": (6, 2)}


class TestComputedConstants:
    """Weights may be stored in another form."""

    def test_transposed_on_either_side(self) -> None:
        # h = x stored1' (3, 4) is channels last; y = stored2' h' reads them from the left
        case = analysed(
            "(float[3,5] x) => (float[2,3] y)",
            """
            k1 = Transpose <perm = [1, 0]> (stored1)
            k2 = Transpose <perm = [1, 0]> (stored2)
            [first] h = Gemm (x, k1, b1)
            [second] y = Gemm <transB = 1> (k2, h)
            """,
            stored1=(4, 5), b1=(4,), stored2=(4, 2),
        )  # fmt: skip
        assert [use.tensor for use in case.groups["first"].writers] == ["k1"]
        assert [use.tensor for use in case.groups["first"].readers] == ["k2"]
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "stored1": (3, 5), "b1": (3,), "stored2": (3, 2),
        }  # fmt: skip

    def test_a_bias_may_be_reshaped(self) -> None:
        case = analysed(
            "(float[3,5] x) => (float[3,2] y)",
            """
            b = Reshape (stored, sizes)
            [first] h = Gemm (x, w1, b)
            [second] y = Gemm (h, w2)
            """,
            w1=(5, 4), stored=(2, 2), sizes=ints(4), w2=(4, 2),
        )  # fmt: skip
        # rows of `stored` hold two neighbours each, or its columns two that are two apart
        assert case.pattern(("h", 1)) == [[0, 0, 1, 1]]
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["sizes"].tolist() == [2]
        assert thinner["stored"].tolist() == initializers(case.model)["stored"][[1]].tolist()

    def test_one_matrix_for_two_layers_ties_both(self) -> None:
        case = analysed(
            "(float[3,4] x) => (float[3,2] y)",
            """
            [first] h = Gemm (x, w)
            [second] g = Gemm <transB = 1> (h, v)
            [third] f = Gemm (g, v)
            [last] y = Gemm (f, w2)
            """,
            w=(4, 4), v=(5, 4), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 1), ("w2", 0)) == [[0, 1, 2, 3]] * 3
        assert case.pattern(("g", 1), ("v", 0)) == [[0, 1, 2, 3, 4]] * 2
        assert case.sizes_after(case.units("h", 1, 0), case.units("g", 1, 2, 4)) == {
            "w": (4, 3), "v": (3, 3), "w2": (3, 2),
        }  # fmt: skip


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 21])
def test_at_every_version(opset: int) -> None:
    case = analysed(
        "(float[N,5] x) => (float[N,2] y)",
        "[first] h = Gemm (x, w1, b1) [second] y = Gemm <alpha = 0.5> (h, w2, b2)",
        opset=opset, w1=(5, 4), b1=(4,), w2=(4, 2), b2=(1, 2),
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (5, 3), "b1": (3,), "w2": (3, 2)}


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
        assert reason.sentence == "both factors of the product are computed"
        (frozen,) = case.channels.frozen_groups
        assert [use.node for use in frozen.writers] == ["left", "right"]

    def test_rows_and_columns_of_a_product_of_two_computed_tensors_pass(self) -> None:
        # a' b is (4, 6): the channels of `left` on its rows, those of `right` on its columns
        case = analysed(
            "(float[3,5] x) => (float[2,2] y)",
            """
            [left] a = Gemm (x, w1)
            [right] b = Gemm (x, w2)
            [product] p = Gemm <transA = 1> (a, b)
            [columns] q = Gemm (p, w3)
            [rows] y = Gemm (w4, q)
            """,
            w1=(5, 4), w2=(5, 6), w3=(6, 2), w4=(2, 4),
        )  # fmt: skip
        assert case.pattern(("a", 1), ("p", 0), ("q", 0), ("w4", 1)) == [[0, 1, 2, 3]] * 4
        assert case.pattern(("b", 1), ("p", 1), ("w3", 0)) == [[0, 1, 2, 3, 4, 5]] * 3
        assert case.sizes_after(case.units("a", 1, 3), case.units("b", 1, 0, 1)) == {
            "w1": (5, 3), "w2": (5, 4), "w3": (4, 2), "w4": (2, 3),
        }  # fmt: skip

    def test_a_column_of_bias_that_is_stretched_over_the_channels(self) -> None:
        # c (3, 1) comes from a layer of one channel, which every channel of h needs
        case = analysed(
            "(float[3,5] x) => (float[3,2] y)",
            """
            [one] c = Gemm (x, w0)
            [first] h = Gemm (x, w1, c)
            [second] y = Gemm (h, w2)
            """,
            w0=(5, 1), w1=(5, 4), w2=(4, 2),
        )  # fmt: skip
        assert list(case.groups) == ["first"]
        reason = case.reasons["one"]
        assert (reason.code, reason.node) == (Code.BROADCAST, "first")
        assert reason.sentence == "axis 1 of c is stretched over several positions"
        assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (5, 3), "w2": (3, 2)}

    def test_a_bias_that_is_fed(self) -> None:
        case = analysed(
            "(float[3,5] x, float[4] b) => (float[3,2] y)",
            "[first] h = Gemm (x, w1, b) [second] y = Gemm (h, w2)",
            w1=(5, 4), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: b is an input of the graph"


class TestFigures:
    """What the rest of the program asks of a rule."""

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_macs_are_rows_times_columns_times_the_inner_size(self, trans_b: int) -> None:
        weight = (4, 5) if trans_b else (5, 4)
        assert two_layers(trans_b=trans_b).macs("first", w1=weight, h=(3, 4)) == 3 * 4 * 5

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_the_weight_is_the_right_hand_side(self, trans_b: int) -> None:
        (weight,) = two_layers(trans_b=trans_b).weights("first")
        assert (weight.value.name, weight.writes, weight.reads) == ("w1", 1 - trans_b, trans_b)

    @pytest.mark.parametrize("trans_a", [0, 1])
    def test_the_weight_is_the_left_hand_side(self, trans_a: int) -> None:
        case = from_the_left(trans_a)
        (weight,) = case.weights("first")
        assert (weight.value.name, weight.writes, weight.reads) == ("w1", trans_a, 1 - trans_a)
        # 4 rows, 3 columns, sums of 5
        assert case.macs("first", x=(5, 3), h=(4, 3)) == 4 * 3 * 5

    def test_nothing_is_computed_in_blocks(self) -> None:
        case = two_layers()
        assert case.rule("first").blocked_axes(case.node("first")) == ()
        assert case.groups["first"].block_positions == ()
