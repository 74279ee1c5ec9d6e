"""ConvTranspose: dense, grouped and depthwise, over one to three spatial axes."""

import pytest
from cutting import Analysed, analysed, initializers, ints

from onnxtrim.channels import Code


def dense(bias: bool = True) -> Analysed:
    """Returns conv (4 channels) -> transposed (6) -> conv (2)."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,h,w] y)",
        f"""
        [first] h = Conv (x, w1)
        [up] u = ConvTranspose (h, wt{", bt" if bias else ""})
        [last] y = Conv (u, w2)
        """,
        {"bt": (6,)} if bias else {},
        w1=(4, 3, 1, 1), wt=(4, 6, 3, 3), w2=(2, 6, 1, 1),
    )  # fmt: skip


def grouped(per_block: int = 2, bias: bool = True) -> Analysed:
    """Returns conv -> transposed in 2 blocks (`per_block` -> 3 channels each) -> conv."""
    wide = 2 * per_block
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,h,w] y)",
        f"""
        [first] h = Conv (x, w1)
        [blocks] u = ConvTranspose <group = 2> (h, wt{", bt" if bias else ""})
        [last] y = Conv (u, w2)
        """,
        {"bt": (6,)} if bias else {},
        w1=(wide, 3, 1, 1), wt=(wide, 3, 3, 3), w2=(2, 6, 1, 1),
    )  # fmt: skip


def depthwise(multiplier: int = 1, attributes: str = "") -> Analysed:
    """Returns conv (3 channels) -> depthwise transposed -> conv."""
    wide = 3 * multiplier
    return analysed(
        "(float[N,2,5,5] x) => (float[N,2,h,w] y)",
        f"""
        [first] h = Conv (x, w1)
        [deep] d = ConvTranspose <group = 3 {attributes}> (h, wd, bd)
        [last] y = Conv (d, w2)
        """,
        w1=(3, 2, 1, 1), wd=(3, multiplier, 3, 3), bd=(wide,), w2=(2, wide, 1, 1),
    )  # fmt: skip


def group_of(case: Analysed, node: str, *removed: tuple[str, int, int]) -> tuple[int, Analysed]:
    """Returns the attribute `group` of a node after some (tensor, axis, position) went."""
    thinner = case.cut(*(case.units(tensor, axis, at) for tensor, axis, at in removed))
    return thinner.graph.node(node).attributes["group"].as_int(), case


class TestDense:
    """Inputs are rows of the weight, outputs its columns."""

    def test_rows_read_and_columns_write(self) -> None:
        case = dense()
        assert case.pattern(("h", 1), ("wt", 0)) == [[0, 1, 2, 3]] * 2
        assert case.pattern(("wt", 1), ("bt", 0), ("u", 1), ("w2", 1)) == [[0, 1, 2, 3, 4, 5]] * 4
        assert set(case.groups["first"].axes) == {("w1", 0), ("h", 1), ("wt", 0)}
        assert set(case.groups["up"].axes) == {("wt", 1), ("bt", 0), ("u", 1), ("w2", 1)}

    def test_spatial_and_batch_axes_carry_nothing(self) -> None:
        case = dense()
        assert [case.carries("u", axis) for axis in range(4)] == [False, True, False, False]

    @pytest.mark.parametrize("bias", [False, True])
    def test_inputs_and_outputs_can_each_be_cut(self, bias: bool) -> None:
        case = dense(bias)
        assert case.sizes_after(case.units("h", 1, 1), case.units("u", 1, 0, 5)) == {
            "w1": (3, 3, 1, 1), "wt": (3, 4, 3, 3), "w2": (2, 4, 1, 1),
            **({"bt": (4,)} if bias else {}),
        }  # fmt: skip

    def test_the_positions_that_stay_keep_their_numbers(self) -> None:
        case = dense()
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, 1), case.units("u", 1, 0, 5)))
        assert after["wt"].tolist() == before["wt"][[0, 2, 3]][:, [1, 2, 3, 4]].tolist()
        assert after["bt"].tolist() == before["bt"][[1, 2, 3, 4]].tolist()

    @pytest.mark.parametrize(
        ("space", "attributes"),
        [
            ((7,), "strides = [2], pads = [1, 1], output_padding = [1]"),
            ((7,), "strides = [2], output_shape = [15]"),
            ((5, 6), "strides = [2, 3], output_padding = [1, 2], pads = [1, 0, 0, 1]"),
            ((5, 6), "dilations = [2, 1], kernel_shape = [3, 3]"),
            ((3, 4, 3), "strides = [2, 1, 2], output_padding = [1, 0, 1]"),
        ],
    )
    def test_one_to_three_spatial_axes(self, space: tuple[int, ...], attributes: str) -> None:
        kernel, ones = (3,) * len(space), (1,) * len(space)
        sizes = ",".join(map(str, space))
        unknown = ",".join(f"s{i}" for i in range(len(space)))
        case = analysed(
            f"(float[N,3,{sizes}] x) => (float[N,2,{unknown}] y)",
            f"""
            [first] h = Conv (x, w1)
            [up] u = ConvTranspose <{attributes}> (h, wt, bt)
            [last] y = Conv (u, w2)
            """,
            w1=(4, 3, *ones), wt=(4, 3, *kernel), bt=(3,), w2=(2, 3, *ones),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 0, 2), case.units("u", 1, 1)) == {
            "w1": (2, 3, *ones), "wt": (2, 2, *kernel), "bt": (2,), "w2": (2, 2, *ones),
        }  # fmt: skip

    def test_the_batch_is_that_of_the_input(self) -> None:
        # channels of w1 lie on axis 0 of r; the transposed convolution leaves them there
        case = analysed(
            "(float[1,3,1,5] x) => (float[1,2,1,7] y)",
            """
            [first] h = Conv (x, w1)
            r = Transpose <perm = [1, 0, 2, 3]> (h)
            [up] u = ConvTranspose (r, wt)
            s = Transpose <perm = [1, 0, 2, 3]> (u)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), wt=(1, 1, 1, 3), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("r", 0), ("u", 0), ("w2", 1)) == [[0, 1, 2, 3]] * 4
        assert case.sizes_after(case.units("h", 1, 2)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip


class TestGrouped:
    """Each block must lose the same positions, of its inputs and of its outputs."""

    def test_equal_positions_of_the_blocks_go_together(self) -> None:
        case = grouped()
        assert case.pattern(("h", 1), ("wt", 0)) == [[0, 1, 0, 1]] * 2
        # the weight's axis 1 serves both blocks of outputs
        assert case.pattern(("wt", 1), ("u", 1), ("bt", 0)) == [
            [0, 1, 2], [0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2],
        ]  # fmt: skip

    @pytest.mark.parametrize("bias", [False, True])
    def test_inputs_and_outputs_can_each_be_cut(self, bias: bool) -> None:
        case = grouped(bias=bias)
        assert case.sizes_after(case.units("h", 1, 1), case.units("u", 1, 0, 2)) == {
            "w1": (2, 3, 1, 1), "wt": (2, 1, 3, 3), "w2": (2, 2, 1, 1),
            **({"bt": (2,)} if bias else {}),
        }  # fmt: skip

    @pytest.mark.parametrize("per_block", [2, 3, 4])
    @pytest.mark.parametrize("removed", [("h", 1, 0), ("u", 1, 1)])
    def test_there_are_as_many_blocks_as_before(
        self, per_block: int, removed: tuple[str, int, int]
    ) -> None:
        left, _ = group_of(grouped(per_block), "blocks", removed)
        assert left == 2

    def test_a_cut_elsewhere_leaves_it_alone(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [blocks] u = ConvTranspose <group = 2> (h, wt)
            [next] g = Conv (u, w2)
            [last] y = Conv (g, w3)
            """,
            w1=(4, 3, 1, 1), wt=(4, 3, 1, 1), w2=(5, 6, 1, 1), w3=(2, 5, 1, 1),
        )  # fmt: skip
        left, _ = group_of(case, "blocks", ("g", 1, 4))
        assert left == 2

    def test_the_blocks_keep_their_own_weights(self) -> None:
        case = grouped()
        before = initializers(case.model)["wt"]
        after = initializers(case.cut(case.units("h", 1, 0)))["wt"]
        assert after.tolist() == before[[1, 3]].tolist()

    def test_over_the_input_of_the_graph_only_outputs_can_go(self) -> None:
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            "[blocks] u = ConvTranspose <group = 2> (x, wt) [last] y = Conv (u, w2)",
            wt=(4, 3, 1, 1), w2=(2, 6, 1, 1),
        )  # fmt: skip
        assert case.groups["blocks"].width == 3
        assert case.sizes_after(case.units("u", 1, 0)) == {
            "wt": (4, 2, 1, 1), "w2": (2, 4, 1, 1),
        }  # fmt: skip


class TestDepthwise:
    """Every input channel has kernels of its own; `group` follows the channels."""

    @pytest.mark.parametrize(
        ("multiplier", "expected"),
        [(1, [0, 1, 2]), (2, [0, 0, 1, 1, 2, 2]), (3, [0, 0, 0, 1, 1, 1, 2, 2, 2])],
    )
    def test_each_channel_comes_with_all_its_outputs(
        self, multiplier: int, expected: list[int]
    ) -> None:
        found = depthwise(multiplier).pattern(("h", 1), ("wd", 0), ("bd", 0), ("d", 1), ("w2", 1))
        assert found == [[0, 1, 2], [0, 1, 2], expected, expected, expected]

    @pytest.mark.parametrize("multiplier", [1, 2])
    @pytest.mark.parametrize(
        "attributes", ["", ", strides = [2, 2], output_padding = [1, 1]", ", dilations = [2, 2]"]
    )
    def test_cutting_one_of_three_is_exact(self, multiplier: int, attributes: str) -> None:
        case = depthwise(multiplier, attributes)
        thinner = case.cut(case.units("w1", 0, 1))
        wide = 2 * multiplier
        assert {name: array.shape for name, array in initializers(thinner).items()} == {
            "w1": (2, 2, 1, 1), "wd": (2, multiplier, 3, 3), "bd": (wide,), "w2": (2, wide, 1, 1),
        }  # fmt: skip
        assert thinner.graph.node("deep").attributes["group"].as_int() == 2

    @pytest.mark.parametrize("multiplier", [1, 2])
    def test_one_channel_may_be_all_that_is_left(self, multiplier: int) -> None:
        left, case = group_of(depthwise(multiplier), "deep", ("h", 1, 0), ("h", 1, 2))
        assert left == 1
        assert case.groups["first"].axes["d", 1] == multiplier

    def test_both_convolutions_write_the_one_group(self) -> None:
        group = depthwise(2).groups["first"]
        assert [(use.node, use.axis) for use in group.writers] == [("first", 0), ("deep", 0)]
        assert [(use.node, use.axis) for use in group.readers] == [("last", 1)]

    def test_over_the_input_of_the_graph_nothing_can_go(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "[deep] d = ConvTranspose <group = 3> (x, wd) [last] y = Conv (d, w2)",
            wd=(3, 2, 1, 1), w2=(2, 6, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["deep"]
        assert (reason.code, reason.node) == (Code.GRAPH_INPUT, "")
        assert reason.sentence == "x is an input of the graph"

    def test_outputs_cannot_go_without_their_channel(self) -> None:
        # `first` reads the two channels of p by axis 1 of k, of which `deep` makes the outputs of
        # each of its channels: without one, all channels would lose an output
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [pair] p = Conv (x, w1)
            [first] h = Conv (p, k)
            [deep] d = ConvTranspose <group = 3> (h, k)
            [last] y = Conv (d, w2)
            """,
            w1=(2, 3, 1, 1), k=(3, 2, 1, 1), w2=(2, 6, 1, 1),
        )  # fmt: skip
        reason = case.reasons["pair"]
        assert (reason.code, reason.node) == (Code.MIXED, "deep")
        assert reason.sentence == "every input channel has its own share of axis 1 of k"
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "k": (2, 2, 1, 1), "w2": (2, 4, 1, 1),
        }  # fmt: skip


class TestFrozen:
    """What it reads as positions stays, and so does what a fed weight reads."""

    def test_a_weight_that_is_fed_freezes_what_it_reads(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[4,2,1,1] k) => (float[N,2,5,5] y)",
            "[first] h = Conv (x, w1) [up] y = ConvTranspose (h, k)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: k is an input of the graph"
        assert case.weights("up") == ()

    def test_what_a_computed_weight_reads_cannot_go(self) -> None:
        # columns of wz make the rows of k: products with h that no weight cuts short
        case = analysed(
            "(float[N,3,5,5] x, float[1,5] z) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [hyper] g = MatMul (z, wz)
            k = Reshape (g, sizes)
            [up] y = ConvTranspose (h, k)
            """,
            w1=(4, 3, 1, 1), wz=(5, 8), sizes=ints(4, 2, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "up")
        assert reason.sentence == "k, which reads the channels, is computed"

    def test_what_a_computed_weight_makes_can_go(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[1,5] z) => (float[N,2,5,5] y)",
            """
            [hyper] g = MatMul (z, wz)
            k = Reshape (g, sizes)
            [up] u = ConvTranspose (x, k)
            [last] y = Conv (u, w2)
            """,
            wz=(5, 12), sizes=ints(3, 4, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("u", 1), ("wz", 1)) == [[0, 1, 2, 3], [0, 1, 2, 3] * 3]
        assert case.sizes_after(case.units("u", 1, 1)) == {"wz": (5, 9), "w2": (2, 3, 1, 1)}

    def test_channels_on_a_spatial_axis(self) -> None:
        case = analysed(
            "(float[N,3,1,5] x) => (float[N,2,4,5] y)",
            """
            [first] h = Conv (x, w1)
            r = Transpose <perm = [0, 2, 1, 3]> (h)
            [up] u = ConvTranspose (r, wt)
            [last] y = Conv (u, w2)
            """,
            w1=(4, 3, 1, 1), wt=(1, 3, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["up"]
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "up")
        assert reason.sentence == "axis 2 of r is read as positions, not channels"


class TestFigures:
    """What the rest of the program asks of a rule."""

    def test_macs_are_inputs_times_outputs_of_a_block_times_kernel(self) -> None:
        # dense: 2 * 4 * 3 * 3 inputs, each goes into 6 channels by 3 * 3 products
        assert dense().macs("up", h=(2, 4, 3, 3), wt=(4, 6, 3, 3)) == 72 * 54
        # depthwise: 1 * 3 * 5 * 5 inputs, each into 2 channels by 9 products
        assert depthwise(2).macs("deep", h=(1, 3, 5, 5), wd=(3, 2, 3, 3)) == 75 * 18

    def test_the_weight_writes_axis_1_and_reads_axis_0_but_for_a_depthwise_one(self) -> None:
        found = [
            [(str(weight.value.name), weight.writes, weight.reads) for weight in case.weights(node)]
            for case, node in ((dense(), "up"), (grouped(), "blocks"), (depthwise(), "deep"))
        ]
        assert found == [[("wt", 1, 0)], [("wt", 1, 0)], [("wd", 0, None)]]
