"""Conv: dense, grouped and depthwise, over one to three spatial axes."""

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code


def dense() -> Analysed:
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        """
        [first] h = Conv (x, w1, b1)
        [second] y = Conv (h, w2, b2)
        """,
        w1=(4, 3, 1, 1), b1=(4,), w2=(2, 4, 1, 1), b2=(2,),
    )  # fmt: skip


def depthwise(multiplier: int, attributes: str = "") -> Analysed:
    """Returns conv -> depthwise -> conv over three channels."""
    wide = 3 * multiplier
    return analysed(
        "(float[N,2,5,5] x) => (float[N,2,h,w] y)",
        f"""
        [first] h = Conv (x, w1)
        [deep] d = Conv <group = 3, kernel_shape = [3, 3] {attributes}> (h, wd, bd)
        [last] y = Conv (d, w2)
        """,
        w1=(3, 2, 1, 1), wd=(wide, 1, 3, 3), bd=(wide,), w2=(2, wide, 1, 1),
    )  # fmt: skip


def grouped(bias: bool) -> Analysed:
    """Returns conv (4 channels) -> conv in 2 blocks (2 -> 3 channels each) -> conv."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [first] h = Conv (x, w1)
        [blocks] g = Conv <group = 2> (h, wg{", bg" if bias else ""})
        [last] y = Conv (g, w2)
        """,
        {"bg": (6,)} if bias else {},
        w1=(4, 3, 1, 1), wg=(6, 2, 1, 1), w2=(2, 6, 1, 1),
    )  # fmt: skip


class TestDense:
    """Outputs are rows of the weight, inputs its columns."""

    def test_outputs_bias_and_the_columns_of_the_reader_are_the_same_units(self) -> None:
        found = dense().pattern(("w1", 0), ("b1", 0), ("h", 1), ("w2", 1))
        assert found == [[0, 1, 2, 3]] * 4

    def test_what_reads_the_input_and_writes_the_output_is_no_free_group(self) -> None:
        case = dense()
        assert list(case.groups) == ["first"]
        assert set(case.groups["first"].axes) == {("w1", 0), ("b1", 0), ("h", 1), ("w2", 1)}
        assert case.reasons["second"].code == Code.GRAPH_OUTPUT

    def test_spatial_and_batch_axes_carry_nothing(self) -> None:
        case = dense()
        assert [case.carries("h", axis) for axis in range(4)] == [False, True, False, False]

    def test_cutting_two_of_four_is_exact(self) -> None:
        case = dense()
        sizes = case.sizes_after(case.units("w1", 0, 0, 2))
        assert sizes == {"w1": (2, 3, 1, 1), "b1": (2,), "w2": (2, 2, 1, 1)}

    def test_the_positions_that_stay_keep_their_numbers(self) -> None:
        case = dense()
        before = initializers(case.model)
        after = initializers(case.cut(case.units("w1", 0, 0, 2)))
        assert after["w1"].tolist() == before["w1"][[1, 3]].tolist()
        assert after["b1"].tolist() == before["b1"][[1, 3]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [1, 3]].tolist()

    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize(
        ("space", "attributes"),
        [
            ((7,), "strides = [2], pads = [1, 1]"),
            ((5, 6), "dilations = [2, 1], pads = [2, 0, 2, 0]"),
            ((4, 3, 5), "pads = [1, 1, 1, 1, 1, 1]"),
        ],
    )
    def test_one_to_three_spatial_axes(
        self, space: tuple[int, ...], attributes: str, bias: bool
    ) -> None:
        kernel = (3,) * len(space)
        sizes = ",".join(map(str, space))
        unknown = ",".join(f"s{i}" for i in range(len(space)))
        case = analysed(
            f"(float[N,3,{sizes}] x) => (float[N,2,{unknown}] y)",
            f"""
            [first] h = Conv <{attributes}> (x, w1{", b1" if bias else ""})
            [second] y = Conv (h, w2)
            """,
            {"b1": (4,)} if bias else {},
            w1=(4, 3, *kernel), w2=(2, 4, *(1 for _ in space)),
        )  # fmt: skip
        expected = {"w1": (3, 3, *kernel), "w2": (2, 3, *(1 for _ in space))}
        assert case.sizes_after(case.units("w1", 0, 1)) == {
            **expected, **({"b1": (3,)} if bias else {}),
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
        assert found == [[0, 1, 2], expected, expected, expected, expected]

    @pytest.mark.parametrize("multiplier", [1, 2])
    @pytest.mark.parametrize("attributes", ["", ", strides = [2, 2]", ", dilations = [2, 2]"])
    def test_cutting_one_of_three_is_exact(self, multiplier: int, attributes: str) -> None:
        case = depthwise(multiplier, attributes)
        thinner = case.cut(case.units("w1", 0, 1))
        wide = 2 * multiplier
        assert {name: array.shape for name, array in initializers(thinner).items()} == {
            "w1": (2, 2, 1, 1), "wd": (wide, 1, 3, 3), "bd": (wide,), "w2": (2, wide, 1, 1),
        }  # fmt: skip
        assert thinner.graph.node("deep").attributes["group"].as_int() == 2

    @pytest.mark.parametrize("multiplier", [1, 2])
    def test_one_channel_may_be_all_that_is_left(self, multiplier: int) -> None:
        case = depthwise(multiplier)
        thinner = case.cut(case.units("w1", 0, 0, 2))
        assert thinner.graph.node("deep").attributes["group"].as_int() == 1
        assert initializers(thinner)["wd"].shape == (multiplier, 1, 3, 3)

    def test_both_convolutions_write_the_one_group(self) -> None:
        case = depthwise(2)
        group = case.groups["first"]
        assert [(use.node, use.axis) for use in group.writers] == [("first", 0), ("deep", 0)]
        assert [(use.node, use.axis) for use in group.readers] == [("last", 1)]
        assert group.axes["wd", 0] == 2

    def test_over_the_input_of_the_graph_nothing_can_go(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "[deep] d = Conv <group = 3> (x, wd) [last] y = Conv (d, w2)",
            wd=(3, 1, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert case.reasons["deep"].code == Code.GRAPH_INPUT

    def test_in_a_row_they_form_one_group(self) -> None:
        case = analysed(
            "(float[N,2,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [deep1] d1 = Conv <group = 2> (h, v1)
            [deep2] d2 = Conv <group = 4> (d1, v2)
            [last] y = Conv (d2, w2)
            """,
            w1=(2, 2, 1, 1), v1=(4, 1, 1, 1), v2=(8, 1, 1, 1), w2=(2, 8, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("d1", 1), ("d2", 1)) == [
            [0, 1],
            [0, 0, 1, 1],
            [0, 0, 0, 0, 1, 1, 1, 1],
        ]
        thinner = case.cut(case.units("w1", 0, 0))
        groups = [thinner.graph.node(n).attributes["group"].as_int() for n in ("deep1", "deep2")]
        assert groups == [1, 2]


class TestGrouped:
    """Each block must lose the same positions, of its inputs and of its outputs."""

    def test_equal_positions_of_the_blocks_go_together(self) -> None:
        case = grouped(bias=True)
        # h: 2 blocks of 2 channels; g: 2 blocks of 3; the weight's axis 1 serves both blocks
        assert case.pattern(("h", 1), ("wg", 1)) == [[0, 1, 0, 1], [0, 1]]
        assert case.pattern(("g", 1), ("wg", 0), ("bg", 0)) == [[0, 1, 2, 0, 1, 2]] * 3

    @pytest.mark.parametrize("bias", [False, True])
    def test_inputs_and_outputs_can_each_be_cut(self, bias: bool) -> None:
        case = grouped(bias)
        thinner = case.cut(case.units("h", 1, 1), case.units("g", 1, 0, 2))
        sizes = {name: array.shape for name, array in initializers(thinner).items()}
        # one of 2 inputs and one of 3 outputs stays in each of the two blocks
        assert sizes == {
            "w1": (2, 3, 1, 1), "wg": (2, 1, 1, 1), "w2": (2, 2, 1, 1),
            **({"bg": (2,)} if bias else {}),
        }  # fmt: skip
        assert thinner.graph.node("blocks").attributes["group"].as_int() == 2

    def test_the_blocks_keep_their_own_weights(self) -> None:
        case = grouped(bias=False)
        before = initializers(case.model)["wg"]
        after = initializers(case.cut(case.units("g", 1, 1)))["wg"]
        assert after.tolist() == before[[0, 2, 3, 5]].tolist()

    def test_over_the_input_of_the_graph_only_outputs_can_go(self) -> None:
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            "[blocks] g = Conv <group = 2> (x, wg) [last] y = Conv (g, w2)",
            wg=(4, 2, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups["blocks"].width == 2
        assert case.sizes_after(case.units("g", 1, 0)) == {
            "wg": (2, 2, 1, 1),
            "w2": (2, 2, 1, 1),
        }


class TestComputedWeights:
    """Weights need not be initializers."""

    def test_a_weight_that_is_fed_freezes_what_it_reads(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[2,4,1,1] k) => (float[N,2,5,5] y)",
            "[first] h = Conv (x, w1) [second] y = Conv (h, k)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: k is an input of the graph"
        assert case.weights("second") == ()

    def test_a_weight_that_is_cast_is_cut_where_it_is_stored(self) -> None:
        half = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float16)
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "k = Cast <to = 1> (stored) [first] h = Conv (x, k) [second] y = Conv (h, w2)",
            stored=half, w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert [use.tensor for use in case.groups["first"].writers] == ["k"]
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "stored": (3, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }

    @pytest.mark.parametrize(
        ("expression", "stored", "left"),
        [
            ("Identity (stored)", {"stored": (4, 3, 1, 1)}, (3, 3, 1, 1)),
            ("Transpose <perm = [1, 0, 2, 3]> (stored)", {"stored": (3, 4, 1, 1)}, (3, 3, 1, 1)),
            ("Reshape (stored, sizes)", {"stored": (4, 3), "sizes": ints(4, 3, 1, 1)}, (3, 3)),
            ("Reshape (stored, sizes)", {"stored": (12,), "sizes": ints(-1, 3, 1, 1)}, (9,)),
            ("Unsqueeze (stored, axes)", {"stored": (4, 3, 1), "axes": ints(-1)}, (3, 3, 1)),
            ("Squeeze (stored, axes)", {"stored": (1, 4, 3, 1, 1), "axes": ints(0)},
             (1, 3, 3, 1, 1)),
            ("Slice (stored, from, to, axes)",
             {"stored": (4, 3, 2, 1), "from": ints(0), "to": ints(1), "axes": ints(2)},
             (3, 3, 2, 1)),
            ("Mul (stored, factor)", {"stored": (4, 3, 1, 1), "factor": (3, 1, 1)}, (3, 3, 1, 1)),
            ("DequantizeLinear <axis = 0> (stored, scale)",
             {"stored": np.arange(-6, 6, dtype=np.int8).reshape(4, 3, 1, 1), "scale": (4,)},
             (3, 3, 1, 1)),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("bias", [False, True])
    def test_a_weight_in_another_form_is_cut_where_it_is_stored(
        self, expression: str, stored: dict[str, Given], left: tuple[int, ...], bias: bool
    ) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            f"""
            k = {expression}
            [first] h = Conv (x, k{", b" if bias else ""})
            r = Relu (h)
            [second] y = Conv (r, w2)
            """,
            {**stored, **({"b": (4,)} if bias else {})},
            w2=(2, 4, 1, 1),
        )
        assert list(case.groups) == ["first"]
        sizes = case.sizes_after(case.units("h", 1, 2))
        assert (sizes["stored"], sizes["w2"]) == (left, (2, 3, 1, 1))
        assert sizes.get("b") == ((3,) if bias else None)

    def test_the_positions_that_stay_are_those_of_the_form_it_is_stored_in(self) -> None:
        # twelve numbers in a row, three for each output
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "k = Reshape (stored, sizes) [first] h = Conv (x, k) [second] y = Conv (h, w2)",
            stored=(12,), sizes=ints(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        before = initializers(case.model)["stored"]
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["stored"].tolist() == before[[0, 1, 2, 6, 7, 8, 9, 10, 11]].tolist()
        assert after["sizes"].tolist() == [3, 3, 1, 1]

    def test_sizes_shared_by_two_weights_are_written_for_each(self) -> None:
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,4,5,5] y)",
            """
            [form1] k1 = Reshape (stored1, sizes)
            [form2] k2 = Reshape (stored2, sizes)
            [first] h = Conv (x, k1)
            [second] y = Conv (h, k2)
            """,
            stored1=(4, 4), stored2=(4, 4), sizes=ints(4, 4, 1, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        after = initializers(thinner)
        assert (after["stored1"].shape, after["stored2"].shape) == ((3, 4), (4, 3))
        targets = [thinner.graph.node(name).inputs[1] for name in ("form1", "form2")]
        written = [after[str(target.name)].tolist() for target in targets if target is not None]
        assert written == [[3, 4, 1, 1], [4, 3, 1, 1]]

    def test_a_weight_that_a_constant_node_holds(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            k = Constant <value = float[4, 3, 1, 1] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> ()
            [first] h = Conv (x, k)
            [second] y = Conv (h, w2)
            """,
            w2=(2, 4, 1, 1),
        )
        after = initializers(case.cut(case.units("h", 1, 1, 3)))
        assert after["k"].ravel().tolist() == [1, 2, 3, 7, 8, 9]

    def test_what_a_computed_weight_reads_cannot_go(self) -> None:
        # columns of wz make the columns of k: products with h that no weight cuts short
        case = analysed(
            "(float[N,3,5,5] x, float[1,5] z) => (float[N,1,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [hyper] g = MatMul (z, wz)
            k = Reshape (g, sizes)
            [second] y = Conv (h, k)
            """,
            w1=(4, 3, 1, 1), wz=(5, 4), sizes=ints(1, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "second")
        assert reason.sentence == "k, which reads the channels, is computed"

    def test_what_a_computed_weight_makes_can_go(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[1,5] z) => (float[N,2,5,5] y)",
            """
            [hyper] g = MatMul (z, wz)
            k = Reshape (g, sizes)
            [first] h = Conv (x, k)
            [second] y = Conv (h, w2)
            """,
            wz=(5, 12), sizes=ints(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("wz", 1)) == [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]]
        assert case.sizes_after(case.units("h", 1, 1)) == {"wz": (5, 9), "w2": (2, 3, 1, 1)}

    def test_a_computed_depthwise_weight_goes_with_its_channels(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[1,5] z) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [hyper] g = MatMul (z, wz)
            k = Reshape (g, sizes)
            [deep] d = Conv <group = 4> (h, k)
            [last] y = Conv (d, w2)
            """,
            w1=(4, 3, 1, 1), wz=(5, 4), sizes=ints(4, 1, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.weights("deep") == ()
        thinner = case.cut(case.units("h", 1, 0, 3))
        assert thinner.graph.node("deep").attributes["group"].as_int() == 2
        assert initializers(thinner)["wz"].shape == (5, 2)


class TestSharedWeights:
    """One kernel for several convolutions ties the channels of all of them."""

    def test_side_by_side(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] p = Conv (x, w1)
            m = Neg (x)
            [b] q = Conv (m, w1, b1)
            r = Relu (q)
            j = Concat <axis = 1> (p, r)
            [last] y = Conv (j, w2)
            """,
            w1=(4, 3, 1, 1), b1=(4,), w2=(2, 8, 1, 1),
        )  # fmt: skip
        assert case.pattern(("p", 1), ("q", 1), ("j", 1)) == [
            [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 0, 1, 2, 3],
        ]  # fmt: skip
        assert [use.node for use in case.groups["a"].writers] == ["a", "b"]
        before = initializers(case.model)["w2"]
        after = initializers(case.cut(case.units("p", 1, 1)))
        assert after["w2"].tolist() == before[:, [0, 2, 3, 4, 6, 7]].tolist()
        assert (after["w1"].shape, after["b1"].shape) == ((3, 3, 1, 1), (3,))

    def test_behind_one_another(self) -> None:
        # w2 reads what it writes: its rows and its columns are the same units
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [again] g = Conv (h, w2)
            [twice] f = Conv (g, w2)
            [last] y = Conv (f, w3)
            """,
            w1=(4, 3, 1, 1), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 1), ("f", 1), ("w2", 0), ("w2", 1)) == [
            [0, 1, 2, 3]
        ] * 5  # fmt: skip
        assert case.sizes_after(case.units("g", 1, 0, 2)) == {
            "w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1), "w3": (2, 2, 1, 1),
        }  # fmt: skip

    def test_with_one_whose_channels_the_graph_puts_out(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,4,5,5] q)",
            """
            [a] p = Conv (x, w1)
            m = Neg (x)
            [b] q = Conv (m, w1)
            [last] y = Conv (p, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["a"]) == "graph output: q is an output of the graph"

    def test_a_bias_shared_by_two_ties_them_too(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1, b)
            [second] g = Conv (h, w2, b)
            [last] y = Conv (g, w3)
            """,
            w1=(4, 3, 1, 1), b=(4,), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 1), ("b", 0)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "b": (3,), "w2": (3, 3, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip


class TestFigures:
    """What the rest of the program asks of a rule."""

    def test_macs_are_outputs_times_kernel(self) -> None:
        # dense: 2 * 4 * 3 * 3 outputs, each of 3 * 1 * 1 products
        sizes = {"x": (2, 3, 3, 3), "w1": (4, 3, 1, 1), "h": (2, 4, 3, 3)}
        assert dense().macs("first", **sizes) == 2 * 4 * 9 * 3
        # depthwise: 1 * 6 * 3 * 3 outputs, each of 1 * 3 * 3 products
        assert depthwise(2).macs("deep", wd=(6, 1, 3, 3), d=(1, 6, 3, 3)) == 54 * 9
        # grouped: 1 * 6 * 5 * 5 outputs, each of 2 * 1 * 1 products
        assert grouped(bias=False).macs("blocks", wg=(6, 2, 1, 1), g=(1, 6, 5, 5)) == 150 * 2

    def test_the_weight_writes_axis_0_and_reads_axis_1_but_for_a_depthwise_one(self) -> None:
        for case, name, tensor, reads in (
            (dense(), "first", "w1", 1),
            (grouped(bias=True), "blocks", "wg", 1),
            (depthwise(1), "deep", "wd", None),
        ):
            (weight,) = case.weights(name)
            assert (weight.value.name, weight.writes, weight.reads) == (tensor, 0, reads)

    def test_the_channels_of_input_and_output_are_computed_in_blocks(self) -> None:
        case = dense()
        assert case.rule("first").blocked_axes(case.node("first")) == (("x", 1), ("h", 1))

    def test_an_analysed_model_is_not_changed(self) -> None:
        case = depthwise(2)
        before = ir.to_proto(case.model).SerializeToString(deterministic=True)
        case.cut(case.units("w1", 0, 0))
        assert ir.to_proto(case.model).SerializeToString(deterministic=True) == before
