"""Gather: constant indices pick ids; by computed ones all axes but the one they index go on."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code


def picked(indices: Given, width: int, axis: int = 1, opset: int = 17) -> Analysed:
    """Returns conv (5 channels) -> gather of the channels -> conv over `width` of them."""
    return analysed(
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        f"""
        [first] h = Conv (x, w1)
        [pick] t = Gather <axis = {axis}> (h, i)
        [last] y = Conv (t, w2)
        """,
        opset=opset, w1=(5, 3, 1, 1), w2=(2, width, 1, 1), i=indices,
    )  # fmt: skip


class TestVector:
    """A row of constant indices picks ids in its order."""

    @pytest.mark.parametrize("axis", [1, -3])
    @pytest.mark.parametrize(
        ("indices", "units", "removed", "left", "columns"),
        [
            ([3, 1, 4, 0, 2], [3, 1, 4, 0, 2], [1, 2], [1, 2, 0], [0, 2, 3]),  # a shuffle
            ([0, 0, 2], [0, 0, 2], [1], [0, 0, 1], [0, 1, 2]),  # one of them twice
            ([0, 2, 2], [0, 2, 2], [0, 3], [1, 1], [1, 2]),
            ([-1, 0, -4], [4, 0, 1], [0], [3, 0], [0, 2]),  # from the end: 4, 0, 1
            ([1, 3], [1, 3], [0, 4], [0, 2], [0, 1]),  # only what nobody picks is gone
        ],
    )
    def test_units_are_picked(
        self,
        indices: list[int],
        units: list[int],
        removed: list[int],
        left: list[int],
        columns: list[int],
        axis: int,
    ) -> None:
        case = picked(ints(*indices), len(indices), axis)
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3, 4], units]
        if columns == list(range(len(indices))):  # all that is picked stays: no output changes
            node = case.node("pick")
            gone = case.units("h", 1, *removed)
            case.rule("pick").rewrite(node, case.channels.without(gone))
            assert initializers(case.model)["i"].tolist() == left
            return
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, *removed)))
        assert after["i"].tolist() == left
        assert after["w2"].tolist() == before["w2"][:, columns].tolist()

    @pytest.mark.parametrize("opset", [7, 11, 13])
    def test_in_every_operator_set(self, opset: int) -> None:
        case = picked(ints(4, 3, 2, 1, 0), 5, opset=opset)
        after = initializers(case.cut(case.units("h", 1, 1, 4)))
        # 0, 2 and 3 are left, and come in reverse
        assert after["i"].tolist() == [2, 1, 0]

    def test_indices_keep_their_type(self) -> None:
        case = picked(np.array([2, -1], dtype=np.int32), 2)
        after = initializers(case.cut(case.units("h", 1, 0, 2)))["i"]
        assert after.tolist() == [2]
        assert after.dtype == np.int32

    def test_who_shares_the_indices_keeps_them(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
            """
            [one] h = Conv (x, w1)
            [two] g = Conv (x, w2)
            [pick] t = Gather <axis = 1> (h, i)
            [other] s = Gather <axis = 1> (g, i)
            j = Concat <axis = 1> (t, s)
            [last] y = Conv (j, w3)
            """,
            w1=(3, 3, 1, 1), w2=(3, 3, 1, 1), w3=(2, 6, 1, 1), i=ints(2, 0, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[1].name) for n in ("pick", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [[1, 0], [2, 0, 1]]

    def test_a_channel_shuffle_before_a_depthwise_convolution(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            [pick] t = Gather <axis = 1> (h, i)
            [deep] d = Conv <group = 4> (t, wd)
            [last] y = Conv (d, w2)
            """,
            w1=(4, 3, 1, 1), wd=(4, 1, 1, 1), w2=(2, 4, 1, 1), i=ints(0, 2, 1, 3),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("d", 1)) == [[0, 1, 2, 3], [0, 2, 1, 3]]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["i"].tolist() == [0, 1, 2]
        assert after["wd"].tolist() == before["wd"][[0, 1, 3]].tolist()


class TestOtherIndices:
    """A scalar or a table of indices makes positions of the channels it picks."""

    def test_a_channel_that_a_scalar_picks_stays(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,4,4] y, float[N,2,4,4] z)",
            """
            [first] h = Conv (x, w1)
            [pick] y = Gather <axis = 1> (h, i)
            [last] z = Conv (h, w2)
            """,
            w1=(5, 3, 1, 1), w2=(2, 5, 1, 1), i=np.array(-2),
        )  # fmt: skip
        assert {name: group.width for name, group in case.groups.items()} == {"first": 4}
        reason = case.reasons["first#2"]
        assert (reason.code, reason.node) == (Code.MIXED, "pick")
        assert reason.sentence == "single positions are picked from axis 1 of h"
        after = initializers(case.cut(case.units("h", 1, 0, 4)))
        # channel 3 of 5 comes third of 1, 2, 3
        assert (after["i"].item(), after["i"].shape) == (2, ())

    def test_a_table_on_channels(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,2,4,4] y, float[N,2,4,4] z)",
            """
            [first] h = Conv (x, w1)
            [pick] y = Gather <axis = 1> (h, i)
            [last] z = Conv (h, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 6, 1, 1), i=np.array([[0, 4], [-4, 0]]),
        )  # fmt: skip
        # 0, 2 and 4 are picked
        assert {name: group.width for name, group in case.groups.items()} == {"first#2": 3}
        assert case.reasons["first"].node == "pick"
        after = initializers(case.cut(case.units("h", 1, 1, 5)))
        assert after["i"].tolist() == [[0, 3], [1, 0]]

    @pytest.mark.parametrize("index", [1, -1])
    def test_a_row_of_space(self, index: int) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4] y)",
            """
            [first] h = Conv (x, w1)
            [pick] t = Gather <axis = 2> (h, i)
            [last] y = Conv (t, w2)
            """,
            w1=(5, 3, 1, 1), w2=(2, 5, 1), i=np.array(index),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3, 4]] * 2
        thinner = case.cut(case.units("h", 1, 0, 3))
        assert initializers(thinner)["i"].item() == index

    def test_the_first_sample_moves_the_channels_to_axis_0(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[2] y)",
            """
            [first] h = MatMul (x, w1)
            [pick] t = Gather (h, i)
            [last] y = MatMul (t, w2)
            """,
            w1=(3, 5), w2=(5, 2), i=np.array(0),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 0)) == [[0, 1, 2, 3, 4]] * 2
        assert case.sizes_after(case.units("h", 1, 2)) == {"w1": (3, 4), "w2": (4, 2)}

    def test_a_table_in_space_moves_what_lies_behind(self) -> None:
        # (N, 4, 5) by (2, 3) on axis 1 is (N, 2, 3, 5)
        case = analysed(
            "(float[N,4,3] x) => (float[N,2,3,2] y)",
            """
            [first] h = MatMul (x, w1)
            [pick] t = Gather <axis = 1> (h, i)
            [last] y = MatMul (t, w2)
            """,
            w1=(3, 5), w2=(5, 2), i=np.array([[0, 1, 2], [3, 3, -1]]),
        )  # fmt: skip
        assert case.pattern(("h", 2), ("t", 3)) == [[0, 1, 2, 3, 4]] * 2
        assert case.sizes_after(case.units("h", 2, 2)) == {"w1": (3, 4), "w2": (4, 2)}

    def test_constant_indices_of_an_input_carry_units_themselves(self) -> None:
        # the input stays, but what is picked of it can be picked no more
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
            """
            [pick] t = Gather <axis = 1> (x, i)
            [deep] d = Conv <group = 4> (t, wd)
            [last] y = Conv (d, w2)
            """,
            wd=(4, 1, 1, 1), w2=(2, 4, 1, 1), i=ints(2, 1, 0, -2),
        )  # fmt: skip
        assert case.pattern(("i", 0), ("t", 1), ("d", 1)) == [[0, 1, 2, 3]] * 3
        after = initializers(case.cut(case.units("d", 1, 1)))
        assert after["i"].tolist() == [2, 0, -2]

    def test_but_not_where_another_node_picks_by_them_too(self) -> None:
        case = analysed(
            "(float[N,4,4,4] x) => (float[N,2,4,4] y, float[N,2,4,4] z)",
            """
            [pick] t = Gather <axis = 1> (x, i)
            [deep] d = Conv <group = 3> (t, wd)
            [last] y = Conv (d, w2)
            [first] h = Conv (x, w1)
            [other] s = Gather <axis = 1> (h, i)
            [end] z = Conv (s, w3)
            """,
            wd=(3, 1, 1, 1), w2=(2, 3, 1, 1), w1=(4, 4, 1, 1), w3=(2, 3, 1, 1), i=ints(3, 1, 0),
        )  # fmt: skip
        assert case.reasons["deep"].node == "other"
        thinner = case.cut(case.units("h", 1, 1))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[1].name) for n in ("pick", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [[3, 1, 0], [2, 0]]


class TestComputed:
    """An embedding: rows are picked by what is fed; the features can go."""

    @pytest.mark.parametrize(
        ("indices", "rank"), [("int64", 0), ("int64[N]", 1), ("int64[N,3]", 2)]
    )
    def test_an_embedding_added_to_features(self, indices: str, rank: int) -> None:
        case = analysed(
            f"(float[N,3,6] x, {indices} i) => (float[N,3,2] y)",
            f"""
            [first] h = MatMul (x, w1)
            [embed] e = Gather (table, i)
            u = {"Unsqueeze (e, one)" if rank == 1 else "Neg (e)"}
            s = Add (h, u)
            [last] y = MatMul (s, w2)
            """,
            {"one": ints(1)} if rank == 1 else {},
            w1=(6, 4), table=(5, 4), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 2), ("table", 1), ("e", rank)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 2, 0, 2)) == {
            "w1": (6, 2), "table": (5, 2), "w2": (2, 2),
        }  # fmt: skip

    def test_a_table_that_lies_on_its_side(self) -> None:
        # (4, 5) by (N, 3) on axis 1 is (4, N, 3)
        case = analysed(
            "(float[N,3,6] x, int64[N,3] i) => (float[N,3,2] y)",
            """
            [first] h = MatMul (x, w1)
            [embed] e = Gather <axis = -1> (table, i)
            u = Transpose <perm = [1, 2, 0]> (e)
            s = Add (h, u)
            [last] y = MatMul (s, w2)
            """,
            w1=(6, 4), table=(4, 5), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("h", 2), ("table", 0), ("e", 0)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 2, 3)) == {
            "w1": (6, 3), "table": (3, 5), "w2": (3, 2),
        }  # fmt: skip

    def test_its_rows_stay(self) -> None:
        # a table that a matrix product makes: its rows are what would go
        case = analysed(
            "(float[3,6] x, int64[N] i) => (float[N,6] y)",
            "[first] t = MatMul (w1, x) [embed] e = Gather (t, i) y = Neg (e)",
            w1=(5, 3),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "embed")
        assert reason.sentence == "rows of t are picked by computed indices"

    def test_channels_that_are_picked_by_what_is_fed_stay(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x, int64[K] i) => (float[N,K,4,4] y)",
            "[first] h = Conv (x, w1) [pick] t = Gather <axis = 1> (h, i) y = Neg (t)",
            w1=(5, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "pick")
        assert reason.sentence == "rows of h are picked by computed indices"


def test_no_macs_and_no_weight() -> None:
    case = picked(ints(1, 0), 2)
    assert case.macs("pick", h=(1, 5, 4, 4), t=(1, 2, 4, 4)) == 0
    assert case.weights("pick") == ()


def test_positions_that_are_picked_do_not_take_the_place_of_channels() -> None:
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2] y)",
        """
        [first] h = Conv (x, w1)
        [pick] g = Gather <axis = 2> (h, rows)
        [flat] f = Flatten (g)
        [last] y = MatMul (f, w2)
        """,
        w1=(2, 3, 1, 1), rows=np.array([3, 0, 4, 1], dtype=np.int64), w2=(40, 2),
    )  # fmt: skip
    assert {name: group.width for name, group in case.groups.items()} == {"first": 2}
    assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (1, 3, 1, 1), "w2": (20, 2)}
