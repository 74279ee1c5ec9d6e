"""MatMul: a layer by a constant on either side; attention by none."""

import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def two_layers(*batch: int) -> Analysed:
    """Returns 5 -> 4 -> 2 features over any batch axes."""
    lead = "".join(f"{size}," for size in batch)
    return analysed(
        f"(float[{lead}5] x) => (float[{lead}2] y)",
        """
        [first] p = MatMul (x, w1)
        h = Add (p, b1)
        r = Relu (h)
        [second] y = MatMul (r, w2)
        """,
        w1=(5, 4), b1=(4,), w2=(4, 2),
    )  # fmt: skip


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 3, 2)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    case = two_layers(*batch)
    last = len(batch)
    keys = ("w1", 1), ("b1", 0), ("p", last), ("r", last), ("w2", 0)
    assert case.pattern(*keys) == [[0, 1, 2, 3]] * 5
    assert not any(case.carries("p", axis) for axis in range(last))
    sizes = case.sizes_after(case.units("w1", 1, 1, 2))
    assert sizes == {"w1": (5, 2), "b1": (2,), "w2": (2, 2)}


def test_channels_before_the_last_axis_pass_through() -> None:
    # Conv makes channels on axis 1 of (N, 4, 6); the product works on the positions, axis 2
    case = analysed(
        "(float[N,3,6] x) => (float[N,2,5] y)",
        """
        [first] h = Conv (x, w1)
        [positions] p = MatMul (h, m)
        [last] y = Conv (p, w2)
        """,
        w1=(4, 3, 1), m=(6, 5), w2=(2, 4, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("p", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (3, 3, 1), "w2": (2, 3, 1)}


def test_columns_that_no_channel_axis_takes_up_are_frozen() -> None:
    # the columns of m become positions of a convolution: nobody can drop one of those
    case = analysed(
        "(float[N,3,6] x) => (float[N,2,5] y)",
        "[positions] p = MatMul (x, m) [last] y = Conv (p, w2)",
        m=(6, 5), w2=(2, 3, 1),
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["positions"].node == "last"


class TestConstantOnTheLeft:
    """Rows of the constant write channels, its columns read them."""

    def test_channels_lie_on_the_axis_before_the_last(self) -> None:
        case = analysed(
            "(float[N,3,6] x) => (float[N,2,6] y)",
            """
            [first] h = Conv (x, w1)
            [mix] p = MatMul (m, h)
            [last] y = Conv (p, w2)
            """,
            w1=(4, 3, 1), m=(5, 4), w2=(2, 5, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("m", 1)) == [[0, 1, 2, 3]] * 2
        assert case.pattern(("m", 0), ("p", 1), ("w2", 1)) == [[0, 1, 2, 3, 4]] * 3
        assert case.sizes_after(case.units("h", 1, 1), case.units("p", 1, 0, 4)) == {
            "w1": (3, 3, 1), "m": (3, 3), "w2": (2, 3, 1),
        }  # fmt: skip

    def test_the_weight_writes_rows_and_reads_columns(self) -> None:
        case = analysed(
            "(float[3,4,6] x) => (float[3,5,6] y)",
            "[mix] y = MatMul (stack, x)",
            stack=(3, 5, 4),
        )  # fmt: skip
        (weight,) = case.weights("mix")
        assert (weight.value.name, weight.writes, weight.reads) == ("stack", 1, 2)
        # 3 * 5 * 6 outputs, sums of 4
        assert case.macs("mix", stack=(3, 5, 4), y=(3, 5, 6)) == 90 * 4


class TestBatchedWeights:
    """The leading axes of both factors meet as in an element-wise operator."""

    @pytest.mark.parametrize(
        ("sizes", "left"),
        [
            ((4, 5, 7), (3, 5, 7)),
            ((1, 4, 5, 7), (1, 3, 5, 7)),
            ((1, 5, 7), None),
            ((1, 1, 5, 7), None),
            ((5, 7), None),
        ],
    )
    def test_a_matrix_for_each_channel_goes_with_it(
        self, sizes: tuple[int, ...], left: tuple[int, ...] | None
    ) -> None:
        case = analysed(
            "(float[N,3,6,5] x) => (float[N,2,6,7] y)",
            """
            [first] h = Conv (x, w1)
            [each] p = MatMul (h, stack)
            [last] y = Conv (p, w2)
            """,
            w1=(4, 3, 1, 1), stack=sizes, w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
            **({} if left is None else {"stack": left}),
        }  # fmt: skip

    def test_a_stack_for_one_matrix_reads_and_writes_in_every_layer_of_it(self) -> None:
        # (3, 5) -> (3, 4); every matrix of the stack reads the 4: (3, 4) (2, 4, 6) -> (2, 3, 6)
        case = analysed(
            "(float[3,5] x) => (float[2,3,7] y)",
            """
            [first] h = MatMul (x, w1)
            [stack] p = MatMul (h, w2)
            [last] y = MatMul (p, w3)
            """,
            w1=(5, 4), w2=(2, 4, 6), w3=(6, 7),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 2
        assert case.pattern(("w2", 2), ("p", 2), ("w3", 0)) == [[0, 1, 2, 3, 4, 5]] * 3
        assert case.sizes_after(case.units("h", 1, 0), case.units("p", 2, 1, 5)) == {
            "w1": (5, 3), "w2": (2, 3, 4), "w3": (4, 7),
        }  # fmt: skip

    def test_a_stack_makes_heads_of_one_matrix(self) -> None:
        # (N, 1, 6, 5) (4, 5, 7) -> (N, 4, 6, 7): the matrices of the stack are the channels
        case = analysed(
            "(float[N,1,6,5] x) => (float[N,2,6,7] y)",
            """
            [heads] p = MatMul (x, stack)
            [deep] d = Conv <group = 4> (p, wd)
            [last] y = Conv (d, w2)
            """,
            stack=(4, 5, 7), wd=(4, 1, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("stack", 0), ("p", 1), ("wd", 0), ("w2", 1)) == [[0, 1, 2, 3]] * 4
        assert case.sizes_after(case.units("p", 1, 0, 2)) == {
            "stack": (2, 5, 7), "wd": (2, 1, 1, 1), "w2": (2, 2, 1, 1),
        }  # fmt: skip

    def test_a_channel_that_serves_a_whole_stack_cannot_go(self) -> None:
        case = analysed(
            "(float[N,3,6,5] x) => (float[N,2,6,7] y)",
            """
            [one] h = Conv (x, w1)
            [heads] p = MatMul (h, stack)
            [last] y = Conv (p, w2)
            """,
            w1=(1, 3, 1, 1), stack=(4, 5, 7), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert "one" not in case.groups
        reason = case.reasons["one"]
        assert (reason.code, reason.node) == (Code.BROADCAST, "heads")
        assert reason.sentence == "axis 1 of h is stretched over several positions"


class TestVectors:
    """A factor of one axis is a row or a column that the result does not show."""

    def test_a_column_reads(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N] y)",
            "[first] h = MatMul (x, w1) [score] y = MatMul (h, v)",
            w1=(5, 4), v=(4,),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("v", 0)) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 1, 2)) == {"w1": (5, 2), "v": (2,)}
        (weight,) = case.weights("score")
        assert (weight.value.name, weight.writes, weight.reads) == ("v", None, 0)

    def test_a_column_lets_rows_and_leading_axes_pass(self) -> None:
        # (N, 4, 6) (6,) -> (N, 4)
        case = analysed(
            "(float[N,3,6] x) => (float[N,2] y)",
            "[first] h = Conv (x, w1) [pool] p = MatMul (h, v) [last] y = MatMul (p, w2)",
            w1=(4, 3, 1), v=(6,), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1), ("w2", 0)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 3)) == {"w1": (3, 3, 1), "w2": (3, 2)}

    def test_a_row_reads(self) -> None:
        # (4,) (N, 4, 6) -> (N, 6)
        case = analysed(
            "(float[N,3,6] x) => (float[N,6] y)",
            "[first] h = Conv (x, w1) [score] y = MatMul (v, h)",
            w1=(4, 3, 1), v=(4,),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (3, 3, 1), "v": (3,)}
        (weight,) = case.weights("score")
        assert (weight.value.name, weight.writes, weight.reads) == ("v", None, 0)

    def test_a_row_lets_columns_and_leading_axes_pass(self) -> None:
        # (3,) (4, 3, 6) -> (4, 6): channels of `first` lead, those of `second` are columns
        case = analysed(
            "(float[1,3,3,5] x) => (float[2,2] y)",
            """
            [first] h = Conv (x, w1)
            q = Squeeze (h)
            [second] g = MatMul (q, w2)
            [pool] p = MatMul (v, g)
            [columns] c = MatMul (p, w3)
            [rows] y = MatMul (w4, c)
            """,
            w1=(4, 3, 1, 1), w2=(5, 6), v=(3,), w3=(6, 2), w4=(2, 4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 0), ("p", 0), ("w4", 1)) == [[0, 1, 2, 3]] * 4
        assert case.pattern(("w2", 1), ("p", 1), ("w3", 0)) == [[0, 1, 2, 3, 4, 5]] * 3
        assert case.sizes_after(case.units("h", 1, 2), case.units("p", 1, 0, 5)) == {
            "w1": (3, 3, 1, 1), "w2": (5, 4), "w3": (4, 2), "w4": (2, 3),
        }  # fmt: skip

    def test_a_computed_row_is_read_by_a_stack(self) -> None:
        # (4,) (3, 4, 6) -> (3, 6)
        case = analysed(
            "(float[5] x) => (float[3,2] y)",
            "[first] h = MatMul (x, w1) [stack] p = MatMul (h, w2) [last] y = MatMul (p, w3)",
            w1=(5, 4), w2=(3, 4, 6), w3=(6, 2),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 0, 1), case.units("p", 1, 2)) == {
            "w1": (5, 3), "w2": (3, 3, 5), "w3": (5, 2),
        }  # fmt: skip

    @pytest.mark.parametrize("factors", ["h, v", "v, h"])
    def test_two_vectors_make_a_scalar(self, factors: str) -> None:
        case = analysed(
            "(float[5] x) => (float y)",
            f"[first] h = MatMul (x, w1) [score] y = MatMul ({factors})",
            w1=(5, 4), v=(4,),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 0, 0, 1)) == {"w1": (5, 2), "v": (2,)}


class TestComputedConstants:
    """Weights may be stored in another form."""

    def test_transposed(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            k1 = Transpose (stored1)
            k2 = Transpose (stored2)
            [first] h = MatMul (x, k1)
            [second] y = MatMul (h, k2)
            """,
            stored1=(4, 5), stored2=(2, 4),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {"stored1": (3, 5), "stored2": (2, 3)}

    def test_a_product_of_constants_is_one_weight(self) -> None:
        # k = a b is (5, 4); its inner axis of 2 is no channel of anything that is computed
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            "k = MatMul (a, b) [first] h = MatMul (x, k) [second] y = MatMul (h, w2)",
            a=(5, 2), b=(2, 4), w2=(4, 2),
        )  # fmt: skip
        (weight,) = case.weights("first")
        assert (weight.value.name, weight.writes, weight.reads) == ("k", 1, 0)
        assert list(case.groups) == ["first"]
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {"b": (2, 2), "w2": (2, 2)}

    def test_a_matrix_may_write_in_one_product_and_read_in_another(self) -> None:
        # (3, 5) (5, 4) writes the columns of k; (5, 4) (4, 2) reads them
        case = analysed(
            "(float[3,5] x) => (float[5,4] y)",
            """
            [left] h = MatMul (x, k)
            t = Transpose (h)
            [wide] p = MatMul (t, w1)
            [right] g = MatMul (k, p)
            [last] y = MatMul (g, w2)
            """,
            k=(5, 4), w1=(3, 2), w2=(2, 4),
        )  # fmt: skip
        assert case.pattern(("k", 1), ("h", 1), ("t", 0), ("p", 0)) == [[0, 1, 2, 3]] * 4
        group = case.groups["left"]
        assert [(use.node, use.axis) for use in group.writers] == [("left", 1)]
        assert [(use.node, use.axis) for use in group.readers] == [("right", 1)]
        before = initializers(case.model)["k"]
        after = initializers(case.cut(case.units("h", 1, 0, 3)))["k"]
        assert after.tolist() == before[:, [1, 2]].tolist()


class TestTwoComputedFactors:
    """The inner axis is frozen; rows, columns and leading axes pass."""

    def test_the_inner_axis_is_a_sum_that_no_weight_cuts_short(self) -> None:
        case = analysed(
            "(float[2,5] x, float[3,5] k) => (float[2,2] y)",
            """
            [first] h = MatMul (x, w1)
            [keys] g = Gemm <transA = 1> (wk, k)
            [product] s = MatMul (h, g)
            [last] y = MatMul (s, w2)
            """,
            w1=(5, 4), wk=(3, 4), w2=(5, 2),
        )  # fmt: skip
        assert case.groups == {}
        assert case.weights("product") == ()
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "product")
        assert reason.sentence == "both factors of the product are computed"
        frozen = next(group for group in case.channels.frozen_groups if group.name == "first")
        assert [use.node for use in frozen.writers] == ["first", "keys"]

    def test_rows_and_columns_pass(self) -> None:
        # h' (4, 3) times g (3, 6): channels of `first` are rows, those of `second` columns
        case = analysed(
            "(float[3,5] x) => (float[2,2] y)",
            """
            [first] h = MatMul (x, w1)
            t = Transpose (h)
            [second] g = MatMul (x, w2)
            [product] p = MatMul (t, g)
            [columns] c = MatMul (p, w3)
            [rows] y = MatMul (w4, c)
            """,
            w1=(5, 4), w2=(5, 6), w3=(6, 2), w4=(2, 4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 0), ("c", 0), ("w4", 1)) == [[0, 1, 2, 3]] * 4
        assert case.pattern(("g", 1), ("p", 1), ("w3", 0)) == [[0, 1, 2, 3, 4, 5]] * 3
        assert case.sizes_after(case.units("h", 1, 1), case.units("g", 1, 3, 4)) == {
            "w1": (5, 3), "w2": (5, 4), "w3": (4, 2), "w4": (2, 3),
        }  # fmt: skip

    def test_leading_axes_of_both_factors_go_together(self) -> None:
        case = analysed(
            "(float[N,3,6,5] x) => (float[N,2,6,6] y)",
            """
            [queries] q = Conv (x, wq)
            [keys] k = Conv (x, wk)
            t = Transpose <perm = [0, 1, 3, 2]> (k)
            [product] s = MatMul (q, t)
            p = Softmax <axis = -1> (s)
            [last] y = Conv (p, w2)
            """,
            wq=(4, 3, 1, 1), wk=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("q", 1), ("k", 1), ("s", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 4
        assert [case.carries("s", axis) for axis in (0, 2, 3)] == [False] * 3
        assert case.sizes_after(case.units("q", 1, 2)) == {
            "wq": (3, 3, 1, 1), "wk": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_one_leading_channel_serves_all_of_the_other_factor(self) -> None:
        case = analysed(
            "(float[N,3,6,6] x) => (float[N,2,6,6] y)",
            """
            [queries] q = Conv (x, wq)
            [key] k = Conv (x, wk)
            [product] s = MatMul (k, q)
            [last] y = Conv (s, w2)
            """,
            wq=(4, 3, 1, 1), wk=(1, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["queries"]
        reason = case.reasons["key"]
        assert (reason.code, reason.node) == (Code.BROADCAST, "product")
        assert reason.sentence == "axis 1 of k is stretched over several positions"
        assert case.sizes_after(case.units("q", 1, 0)) == {
            "wq": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_leading_axes_that_meet_the_input_of_the_graph_are_frozen(self) -> None:
        case = analysed(
            "(float[N,4,6,5] x) => (float[N,2,6,6] y)",
            """
            [queries] q = Conv (x, wq)
            t = Transpose <perm = [0, 1, 3, 2]> (x)
            [product] s = MatMul (q, t)
            [last] y = Conv (s, w2)
            """,
            wq=(4, 4, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["queries"]) == "graph input: x is an input of the graph"

    def test_an_output_that_hides_its_sizes_is_the_reason_all_the_same(self) -> None:
        case = analysed(
            "(float[2,3,4,5] x) => (float[a,b,c,d] y)",
            "[first] h = Conv (x, w1) [mix] y = MatMul (h, m)",
            w1=(6, 3, 1, 1), m=(5, 2),
        )  # fmt: skip
        assert str(case.reasons["first"]) == "graph output: y is an output of the graph"


class TestFigures:
    """What the rest of the program asks of a rule."""

    def test_macs_are_outputs_times_the_inner_size(self) -> None:
        assert two_layers(2, 3).macs("first", x=(2, 3, 5), p=(2, 3, 4)) == 24 * 5
        assert two_layers().macs("first", x=(5,), p=(4,)) == 4 * 5

    def test_the_weight_is_the_matrix(self) -> None:
        (weight,) = two_layers(3).weights("first")
        assert (weight.value.name, weight.writes, weight.reads) == ("w1", 1, 0)

    def test_nothing_is_computed_in_blocks(self) -> None:
        case = two_layers(3)
        assert case.rule("first").blocked_axes(case.node("first")) == ()
