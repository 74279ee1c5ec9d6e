"""LSTM, GRU and RNN: a hidden unit is one position of every gate, in every direction."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, INPUTS, HIDDEN, OUTPUTS = 5, 3, 4, 2
OPS = pytest.mark.parametrize("op", list(GATES))
DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])


def matrices(op: str, directions: int = 1, inputs: int = INPUTS) -> dict[str, Given]:
    """Returns sizes for W, R and B."""
    wide = GATES[op] * HIDDEN
    return {
        "w": (directions, wide, inputs),
        "r": (directions, wide, HIDDEN),
        "b": (directions, 2 * wide),
    }


def read_out(
    op: str,
    attributes: str = "",
    operands: str = "x, w, r",
    opset: int = 17,
    batch: str = "N",
    **weights: Given,
) -> Analysed:
    """Returns a layer of one direction, its axis of directions squeezed away, and a MatMul."""
    squeeze = "<axes = [1]> (s)" if opset < 13 else "(s, one)"
    used = {name: sizes for name, sizes in matrices(op).items() if name in operands.split(", ")}
    return analysed(
        f"(float[5,{batch},3] x) => (float[5,{batch},2] y)",
        f"""
        [layer] s = {op} <hidden_size = 4 {attributes}> ({operands})
        q = Squeeze {squeeze}
        [last] y = MatMul (q, w2)
        """,
        {**used, **weights, **({} if opset < 13 else {"one": ints(1)})},
        opset=opset,
        w2=(HIDDEN, OUTPUTS),
    )


def both_directions(op: str, target: tuple[int, ...] = (0, 0, 8)) -> Analysed:
    """Returns a bidirectional layer whose directions are put side by side for a MatMul."""
    return analysed(
        "(float[5,N,3] x) => (float[5,N,2] y)",
        f"""
        [layer] s = {op} <hidden_size = 4, direction = "bidirectional"> (x, w, r, b)
        t = Transpose <perm = [0, 2, 1, 3]> (s)
        f = Reshape (t, target)
        [last] y = MatMul (f, w2)
        """,
        matrices(op, 2),
        target=ints(*target),
        w2=(2 * HIDDEN, OUTPUTS),
    )


class TestUnits:
    """The gates lie behind one another in W, R and B."""

    @OPS
    def test_a_unit_has_a_position_in_every_gate(self, op: str) -> None:
        case = read_out(op, operands="x, w, r, b")
        gates = [0, 1, 2, 3] * GATES[op]
        assert case.pattern(("s", 3), ("r", 2), ("q", 2), ("w2", 0)) == [[0, 1, 2, 3]] * 4
        assert case.pattern(("s", 3), ("w", 1), ("r", 1))[1:] == [gates] * 2
        assert case.pattern(("s", 3), ("b", 1))[1] == gates * 2
        assert [case.carries("s", axis) for axis in range(3)] == [False] * 3

    @OPS
    def test_both_matrices_write_and_the_recurrent_one_reads(self, op: str) -> None:
        group = read_out(op).groups["layer"]
        assert [(use.tensor, use.axis) for use in group.writers] == [("r", 1), ("w", 1)]
        assert [(use.node, use.tensor, use.axis) for use in group.readers] == [
            ("layer", "r", 2),
            ("last", "w2", 0),
        ]

    def test_two_directions_lose_the_same_units(self) -> None:
        case = both_directions("GRU")
        assert case.pattern(("s", 3), ("t", 3)) == [[0, 1, 2, 3]] * 2
        assert case.pattern(("f", 2), ("w2", 0)) == [[0, 1, 2, 3, 0, 1, 2, 3]] * 2


class TestHiddenUnits:
    """The cut equals the masked original."""

    @OPS
    @pytest.mark.parametrize("direction", ["forward", "reverse"])
    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("opset", [7, 13, 22])
    def test_two_of_four(self, op: str, direction: str, bias: bool, opset: int) -> None:
        operands = "x, w, r, b" if bias else "x, w, r"
        case = read_out(op, f', direction = "{direction}"', operands, opset)
        thinner = case.cut(case.units("s", 3, 1, 3))
        before, after = initializers(case.model), initializers(thinner)
        # of every four neighbours the first and the third stay
        stays = [i for i in range(GATES[op] * 4) if i % 2 == 0]
        assert after["w"].tolist() == before["w"][:, stays].tolist()
        assert after["r"].tolist() == before["r"][:, stays][:, :, [0, 2]].tolist()
        assert after["w2"].tolist() == before["w2"][[0, 2]].tolist()
        if bias:
            assert after["b"].tolist() == before["b"][:, ::2].tolist()
        assert thinner.graph.node("layer").attributes["hidden_size"].as_int() == 2

    @OPS
    @pytest.mark.parametrize(("target", "left"), [((0, 0, 8), [0, 0, 6]), ((5, -1, 8), [5, -1, 6])])
    def test_one_of_four_in_two_directions(
        self, op: str, target: tuple[int, ...], left: list[int]
    ) -> None:
        case = both_directions(op, target)
        thinner = case.cut(case.units("s", 3, 1))
        after = initializers(thinner)
        wide = GATES[op] * 3
        assert {name: after[name].shape for name in ("w", "r", "b", "w2")} == {
            "w": (2, wide, 3), "r": (2, wide, 3), "b": (2, 2 * wide), "w2": (6, 2),
        }  # fmt: skip
        assert after["w2"].tolist() == initializers(case.model)["w2"][[0, 2, 3, 4, 6, 7]].tolist()
        assert after["target"].tolist() == left
        assert thinner.graph.node("layer").attributes["hidden_size"].as_int() == 3

    def test_a_target_that_says_the_rest_stays(self) -> None:
        case = both_directions("RNN", (0, 0, -1))
        after = initializers(case.cut(case.units("s", 3, 0)))
        assert after["target"].tolist() == [0, 0, -1]
        assert after["w2"].shape == (6, 2)

    def test_directions_may_also_be_added_up(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[5,N,2] y)",
            """
            [layer] s = LSTM <hidden_size = 4, direction = "bidirectional"> (x, w, r, b)
            q = ReduceSum <keepdims = 0> (s, one)
            [last] y = MatMul (q, w2)
            """,
            matrices("LSTM", 2), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.sizes_after(case.units("s", 3, 2)) == {
            "w": (2, 12, 3), "r": (2, 12, 3), "b": (2, 24), "w2": (3, 2),
        }  # fmt: skip

    @pytest.mark.parametrize("reset", [0, 1])
    def test_a_gru_may_reset_before_or_after_its_product(self, reset: int) -> None:
        case = read_out("GRU", f", linear_before_reset = {reset}", "x, w, r, b")
        assert case.sizes_after(case.units("s", 3, 0)) == {
            "w": (1, 9, 3), "r": (1, 9, 3), "b": (1, 18), "w2": (3, 2),
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("op", "attributes"),
        [
            ("LSTM", ', activations = ["Sigmoid", "Relu", "Tanh"], clip = 1.5'),
            ("LSTM", ", input_forget = 1"),
            ("GRU", ', activations = ["HardSigmoid", "Tanh"], activation_alpha = [0.3]'),
            ("RNN", ', activations = ["Relu"]'),
        ],
    )
    def test_other_attributes_do_not_matter(self, op: str, attributes: str) -> None:
        case = read_out(op, attributes, "x, w, r, b")
        wide = GATES[op] * 3
        assert case.sizes_after(case.units("s", 3, 1)) == {
            "w": (1, wide, 3), "r": (1, wide, 3), "b": (1, 2 * wide), "w2": (3, 2),
        }  # fmt: skip

    def test_peepholes(self) -> None:
        case = read_out("LSTM", "", "x, w, r, b, , , , p", p=(1, 12))
        assert case.pattern(("s", 3), ("p", 1))[1] == [0, 1, 2, 3] * 3
        before = initializers(case.model)["p"]
        after = initializers(case.cut(case.units("s", 3, 0, 1)))["p"]
        assert after.tolist() == before[:, [2, 3, 6, 7, 10, 11]].tolist()

    @OPS
    def test_lengths(self, op: str) -> None:
        lengths = np.array([5, 2], dtype=np.int32)
        case = read_out(op, "", "x, w, r, b, lengths", batch="2", lengths=lengths)
        thinner = case.cut(case.units("s", 3, 1))
        assert initializers(thinner)["lengths"].tolist() == [5, 2]
        assert initializers(thinner)["w2"].shape == (3, 2)

    @OPS
    def test_the_last_state_is_read(self, op: str) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[N,2] y)",
            f"""
            [layer] , last = {op} <hidden_size = 4> (x, w, r, b)
            q = Squeeze (last, zero)
            [read] y = Gemm (q, w2)
            """,
            matrices(op), zero=ints(0), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("last", 2), ("q", 1), ("r", 2)) == [[0, 1, 2, 3]] * 3
        after = initializers(case.cut(case.units("q", 1, 0)))
        assert (after["w2"].shape, after["r"].shape) == ((3, 2), (1, GATES[op] * 3, 3))

    def test_all_outputs_of_an_lstm_are_read(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[N,2] y, float[N,2] z, float[5,N,2] a)",
            """
            [layer] all, last, cell = LSTM <hidden_size = 4> (x, w, r, b)
            q = Squeeze (last, zero)
            c = Squeeze (cell, zero)
            s = Squeeze (all, one)
            y = MatMul (q, w2)
            z = MatMul (c, w3)
            a = MatMul (s, w4)
            """,
            matrices("LSTM"), zero=ints(0), one=ints(1), w2=(4, 2), w3=(4, 2), w4=(4, 2),
        )  # fmt: skip
        assert case.pattern(("q", 1), ("c", 1), ("s", 2)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("cell", 2, 1, 2)) == {
            "w": (1, 8, 3), "r": (1, 8, 2), "b": (1, 16), "w2": (2, 2), "w3": (2, 2), "w4": (2, 2),
        }  # fmt: skip


class TestInitialStates:
    """Initial states lie on the axis of the hidden units."""

    def test_constant_ones_are_cut(self) -> None:
        case = read_out("LSTM", "", "x, w, r, b, , h0, c0", batch="2", h0=(1, 2, 4), c0=(1, 2, 4))
        assert case.pattern(("s", 3), ("h0", 2), ("c0", 2)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("s", 3, 0)) == {
            "w": (1, 12, 3), "r": (1, 12, 3), "b": (1, 24), "h0": (1, 2, 3), "c0": (1, 2, 3),
            "w2": (3, 2),
        }  # fmt: skip

    @pytest.mark.parametrize("op", ["GRU", "RNN"])
    def test_a_constant_one_without_a_cell(self, op: str) -> None:
        case = read_out(op, "", "x, w, r, , , h0", batch="2", h0=(1, 2, 4))
        assert case.sizes_after(case.units("s", 3, 3)) == {
            "w": (1, GATES[op] * 3, 3), "r": (1, GATES[op] * 3, 3), "h0": (1, 2, 3), "w2": (3, 2),
        }  # fmt: skip

    def test_one_that_another_layer_makes_goes_along(self) -> None:
        case = analysed(
            "(float[5,N,3] x, float[N,6] z) => (float[5,N,2] y)",
            """
            [start] g = MatMul (z, w0)
            h0 = Unsqueeze (g, zero)
            [layer] s = GRU <hidden_size = 4> (x, w, r, b, , h0)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            matrices("GRU"), w0=(6, 4), zero=ints(0), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("g", 1), ("h0", 2), ("s", 3)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("s", 3, 2)) == {
            "w0": (6, 3), "w": (1, 9, 3), "r": (1, 9, 3), "b": (1, 18), "w2": (3, 2),
        }  # fmt: skip

    def test_the_state_of_one_layer_starts_the_next(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[5,N,2] y)",
            """
            [encode] , h, c = LSTM <hidden_size = 4> (x, w, r, b)
            [decode] s = LSTM <hidden_size = 4> (x, v, u, , , h, c)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            matrices("LSTM"), v=(1, 16, 3), u=(1, 16, 4), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 2), ("c", 2), ("s", 3), ("u", 2)) == [[0, 1, 2, 3]] * 4
        assert case.sizes_after(case.units("s", 3, 1)) == {
            "w": (1, 12, 3), "r": (1, 12, 3), "b": (1, 24), "v": (1, 12, 3), "u": (1, 12, 3),
            "w2": (3, 2),
        }  # fmt: skip

    def test_a_recurrent_weight_that_is_the_state_too_keeps_its_samples(self) -> None:
        case = analysed(
            "(float[5,4,3] x) => (float[5,4,2] y)",
            """
            [layer] s = RNN <hidden_size = 4> (x, w, r, b, , r)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            matrices("RNN"), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["layer"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "layer")
        assert reason.sentence == "axis 1 of r is read as positions, not channels"

    @pytest.mark.parametrize("state", ["h0", "c0"])
    def test_one_that_is_fed_freezes_the_units(self, state: str) -> None:
        case = analysed(
            f"(float[5,N,3] x, float[1,N,4] {state}) => (float[5,N,2] y)",
            f"""
            [layer] s = LSTM <hidden_size = 4> (x, w, r, b, , {", " * (state == "c0")}{state})
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            matrices("LSTM"), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["layer"]
        assert (reason.code, reason.node) == (Code.GRAPH_INPUT, "")
        assert reason.sentence == f"{state} is an input of the graph"


class TestInputs:
    """W reads what the layer before makes."""

    @OPS
    @DIRECTIONS
    def test_features_of_the_layer_before_can_go(self, op: str, direction: str) -> None:
        ways = 2 if direction == "bidirectional" else 1
        case = analysed(
            f"(float[5,N,3] x) => (float[5,{ways},N,4] y)",
            f"""
            [first] h = MatMul (x, w1)
            [layer] y = {op} <hidden_size = 4, direction = "{direction}"> (h, w, r, b)
            """,
            matrices(op, ways, 6), w1=(3, 6),
        )  # fmt: skip
        assert case.pattern(("h", 2), ("w", 2)) == [[0, 1, 2, 3, 4, 5]] * 2
        group = case.groups["first"]
        assert [(use.node, use.tensor, use.axis) for use in group.readers] == [("layer", "w", 2)]
        assert case.reasons["layer"].code == Code.GRAPH_OUTPUT
        thinner = case.cut(case.units("h", 2, 0, 4))
        before, after = initializers(case.model), initializers(thinner)
        assert after["w"].tolist() == before["w"][:, :, [1, 2, 3, 5]].tolist()
        assert after["r"].shape == before["r"].shape
        assert thinner.graph.node("layer").attributes["hidden_size"].as_int() == 4

    def test_a_layer_on_top_of_another(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[5,N,2] y)",
            """
            [lower] s = LSTM <hidden_size = 4> (x, w, r, b)
            q = Squeeze (s, one)
            [upper] t = GRU <hidden_size = 6> (q, v, u)
            p = Squeeze (t, one)
            [last] y = MatMul (p, w2)
            """,
            matrices("LSTM"), v=(1, 18, 4), u=(1, 18, 6), one=ints(1), w2=(6, 2),
        )  # fmt: skip
        assert {name: group.width for name, group in case.groups.items()} == {
            "lower": 4, "upper": 6,
        }  # fmt: skip
        thinner = case.cut(case.units("s", 3, 1), case.units("t", 3, 0, 5))
        after = initializers(thinner)
        assert {name: after[name].shape for name in ("w", "r", "b", "v", "u", "w2")} == {
            "w": (1, 12, 3), "r": (1, 12, 3), "b": (1, 24),
            "v": (1, 12, 3), "u": (1, 12, 4), "w2": (4, 2),
        }  # fmt: skip
        nodes = [thinner.graph.node(name) for name in ("lower", "upper")]
        assert [node.attributes["hidden_size"].as_int() for node in nodes] == [3, 4]


class TestComputedWeights:
    """Weights need not be initializers."""

    def test_stored_in_another_form(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[5,N,2] y)",
            """
            w = Unsqueeze (stored, zero)
            r = Transpose <perm = [0, 2, 1]> (turned)
            [layer] s = RNN <hidden_size = 4> (x, w, r)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            stored=(4, 3), turned=(1, 4, 4), zero=ints(0), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.sizes_after(case.units("s", 3, 0)) == {
            "stored": (3, 3), "turned": (1, 3, 3), "w2": (3, 2),
        }  # fmt: skip

    def test_with_a_recurrent_weight_that_is_fed_the_other_still_reads(self) -> None:
        case = analysed(
            "(float[5,N,3] x, float[1,4,4] r) => (float[5,N,2] y)",
            """
            [first] h = MatMul (x, w1)
            [layer] s = RNN <hidden_size = 4> (h, w, r)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            w1=(3, 6), w=(1, 4, 6), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert [weight.value.name for weight in case.weights("layer")] == ["w"]
        assert list(case.groups) == ["first"]
        assert str(case.reasons["layer"]) == "graph input: r is an input of the graph"
        assert case.sizes_after(case.units("h", 2, 0, 1)) == {"w1": (3, 4), "w": (1, 4, 4)}

    def test_what_a_computed_weight_reads_cannot_go(self) -> None:
        # the inputs of w are columns of wz: a product of them with h that no weight cuts short
        case = analysed(
            "(float[5,N,3] x, float[4,5] z) => (float[5,N,2] y)",
            """
            [first] h = MatMul (x, w1)
            [hyper] g = MatMul (z, wz)
            w = Unsqueeze (g, zero)
            [layer] s = RNN <hidden_size = 4> (h, w, r)
            q = Squeeze (s, one)
            [last] y = MatMul (q, w2)
            """,
            w1=(3, 6), wz=(5, 6), r=(1, 4, 4), zero=ints(0), one=ints(1), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        assert [weight.value.name for weight in case.weights("layer")] == ["r"]
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "layer")
        assert reason.sentence == "w, which reads the channels, is computed"


class TestFrozen:
    """What it reads as time, batch or directions stays."""

    @OPS
    def test_the_batch_first_layout(self, op: str) -> None:
        case = analysed(
            "(float[N,5,3] x) => (float[N,5,2] y)",
            f"""
            [first] h = MatMul (x, w1)
            [layer] s = {op} <hidden_size = 4, layout = 1> (h, w, r, , , h0)
            q = Squeeze (s, two)
            [last] y = MatMul (q, w2)
            """,
            {"w": (1, GATES[op] * 4, 3), "r": (1, GATES[op] * 4, 4)},
            w1=(3, 3), h0=(2, 1, 4), two=ints(2), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        for group in ("first", "layer"):
            reason = case.reasons[group]
            assert (reason.code, reason.node) == (Code.MIXED, "layer")
            assert reason.sentence == "batch-first layout is not described"

    def test_the_time_first_layout_may_be_said(self) -> None:
        case = read_out("GRU", ", layout = 0")
        assert case.sizes_after(case.units("s", 3, 0))["w2"] == (3, 2)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_channels_on_the_axis_of_time_or_of_samples(self, axis: int) -> None:
        perm = "[1, 0, 2]" if axis == 0 else "[0, 1, 2]"
        case = analysed(
            "(float[2,5,3] x) => (float[S,1,T,4] y)",
            f"""
            [first] h = MatMul (m, x)
            t = Transpose <perm = {perm}> (h)
            [layer] y = RNN <hidden_size = 4> (t, w, r)
            """,
            m=(4, 5), w=(1, 4, 3), r=(1, 4, 4),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "layer")
        assert reason.sentence == f"axis {axis} of t is read as positions, not channels"

    def test_units_that_the_graph_puts_out(self) -> None:
        case = analysed(
            "(float[5,N,3] x) => (float[5,1,N,4] y)",
            "[layer] y = LSTM <hidden_size = 4> (x, w, r, b)",
            matrices("LSTM"),
        )
        assert case.groups == {}
        assert str(case.reasons["layer"]) == "graph output: y is an output of the graph"


class TestFigures:
    """What the rest of the program asks of a rule."""

    def test_macs_are_steps_times_samples_times_both_matrices(self) -> None:
        # LSTM: 5 steps of 2 samples, each 16 * 3 products of W and 16 * 4 of R
        sizes = {"x": (5, 2, 3), "w": (1, 16, 3), "r": (1, 16, 4)}
        assert read_out("LSTM").macs("layer", **sizes) == 10 * (48 + 64)
        # bidirectional GRU: 2 directions of 12 * 3 and 12 * 4
        sizes = {"x": (5, 2, 3), "w": (2, 12, 3), "r": (2, 12, 4)}
        assert both_directions("GRU").macs("layer", **sizes) == 10 * (72 + 96)

    @OPS
    def test_the_weights_are_both_matrices(self, op: str) -> None:
        found = [(w.value.name, w.writes, w.reads) for w in read_out(op).weights("layer")]
        assert found == [("w", 1, 2), ("r", 1, 2)]

    def test_nothing_is_computed_in_blocks(self) -> None:
        case = read_out("RNN")
        assert case.rule("layer").blocked_axes(case.node("layer")) == ()
