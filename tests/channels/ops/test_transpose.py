"""Transpose: every axis takes its units along."""

import pytest
from cutting import analysed

from onnxtrim.channels import Code


class TestChannels:
    """One axis of channels among positions."""

    @pytest.mark.parametrize(
        ("perm", "place"),
        [([0, 2, 3, 1], 3), ([0, 1, 3, 2], 1), ([0, 3, 1, 2], 2), ([1, 0, 2, 3], 0)],
    )
    @pytest.mark.parametrize("opset", [9, 13, 21])
    def test_there_and_back(self, opset: int, perm: list[int], place: int) -> None:
        back = [perm.index(axis) for axis in range(4)]
        case = analysed(
            "(float[N,3,2,5] x) => (float[N,2,2,5] y)",
            f"""
            [first] h = Conv (x, w1)
            t = Transpose <perm = {perm}> (h)
            b = Transpose <perm = {back}> (t)
            [last] y = Conv (b, w2)
            """,
            opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", place), ("b", 1)) == [[0, 1, 2, 3]] * 3
        assert [axis for axis in range(4) if case.carries("t", axis)] == [place]
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "w1": (2, 3, 1, 1),
            "w2": (2, 2, 1, 1),
        }

    def test_without_perm_the_axes_are_reversed(self) -> None:
        # (2, 4, 5) to (5, 4, 2) leaves the middle; of (N, 4) the channels become rows
        case = analysed(
            "(float[N,3] x) => (float[2,N] y)",
            "[first] h = MatMul (x, w1) t = Transpose (h) [last] y = MatMul (w2, t)",
            w1=(3, 4), w2=(2, 4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 0)) == [[0, 1, 2, 3]] * 2
        assert not case.carries("t", 1)
        assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (3, 3), "w2": (2, 3)}

    def test_channels_last_are_the_inner_axis_of_a_product(self) -> None:
        case = analysed(
            "(float[N,3,2,5] x) => (float[N,2,5,6] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 3, 1]> (h)
            [last] y = MatMul (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(4, 6),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 2)) == {"w1": (3, 3, 1, 1), "w2": (3, 6)}

    def test_a_weight_is_cut_where_it_is_stored(self) -> None:
        # the kernel is stored with its outputs last: (given, 1, 1, made)
        case = analysed(
            "(float[N,3,2,5] x) => (float[N,2,2,5] y)",
            """
            k = Transpose <perm = [3, 0, 1, 2]> (stored)
            [first] h = Conv (x, k)
            [last] y = Conv (h, w2)
            """,
            stored=(3, 1, 1, 4), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("stored", 3), ("k", 0)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 1, 2)) == {
            "stored": (3, 1, 1, 2),
            "w2": (2, 2, 1, 1),
        }

    def test_two_axes_of_channels_change_places(self) -> None:
        # w1 x is (4, 5) and times w2 (4, 3): rows of `left`, columns of `right`
        case = analysed(
            "(float[6,5] x) => (float[2,7] y)",
            """
            [left] h = MatMul (w1, x)
            [right] g = MatMul (h, w2)
            t = Transpose <perm = [1, 0]> (g)
            [rows] r = MatMul (w3, t)
            [columns] y = MatMul (r, w4)
            """,
            w1=(4, 6), w2=(5, 3), w3=(2, 3), w4=(4, 7),
        )  # fmt: skip
        assert case.pattern(("g", 0), ("g", 1), ("t", 0), ("t", 1)) == [
            [0, 1, 2, 3], [4, 5, 6], [4, 5, 6], [0, 1, 2, 3],
        ]  # fmt: skip
        assert case.sizes_after(case.units("g", 0, 1), case.units("g", 1, 0, 2)) == {
            "w1": (3, 6), "w2": (5, 1), "w3": (2, 1), "w4": (3, 7),
        }  # fmt: skip


class TestFrozen:
    """Channels that come to lie where positions are read stay."""

    def test_channels_in_the_place_of_rows(self) -> None:
        case = analysed(
            "(float[N,3,2,5] x) => (float[N,6,4,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(6, 2, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "last")
        assert reason.sentence == "axis 2 of t is read as positions, not channels"

    def test_the_output_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[4,N] y)",
            "[first] h = MatMul (x, w1) y = Transpose (h)",
            w1=(3, 4),
        )
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph output: y is an output of the graph"

    def test_what_meets_the_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,5,3] x) => (float[N,2,5] y)",
            """
            t = Transpose <perm = [0, 2, 1]> (x)
            [first] p = Conv (t, w1)
            s = Add (p, t)
            [last] y = Conv (s, w2)
            """,
            w1=(3, 3, 1), w2=(2, 3, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


def test_no_macs_and_no_weight() -> None:
    case = analysed(
        "(float[N,3] x) => (float[4,N] y)",
        "[first] h = MatMul (x, w1) [turn] y = Transpose (h)",
        w1=(3, 4),
    )
    assert case.macs("turn", h=(2, 4), y=(4, 2)) == 0
    assert case.weights("turn") == ()
