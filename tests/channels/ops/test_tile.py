"""Tile: a channel goes with all its copies, and the repeats stay."""

import pytest
from cutting import Analysed, analysed, initializers, ints

from onnxtrim.channels import Code


def tiled(repeats: tuple[int, ...], result: str, wide: int, opset: int = 17) -> Analysed:
    """Returns conv (3 channels of 2 x 2) -> tile -> conv."""
    return analysed(
        f"(float[N,3,2,2] x) => (float[{result}] y)",
        "[first] h = Conv (x, w1) [many] t = Tile (h, repeats) [last] y = Conv (t, w2)",
        opset=opset, w1=(3, 3, 1, 1), w2=(2, wide, 1, 1), repeats=ints(*repeats),
    )  # fmt: skip


class TestConstantRepeats:
    """The ids are repeated as often as the positions."""

    @pytest.mark.parametrize("opset", [7, 13])
    def test_of_channels(self, opset: int) -> None:
        case = tiled((1, 2, 1, 1), "N,2,2,2", 6, opset)
        assert case.pattern(("h", 1), ("t", 1), ("w2", 1)) == [
            [0, 1, 2],
            [0, 1, 2, 0, 1, 2],
            [0, 1, 2, 0, 1, 2],
        ]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("t", 1, 4)))
        assert after["repeats"].tolist() == [1, 2, 1, 1]
        assert after["w1"].tolist() == before["w1"][[0, 2]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [0, 2, 3, 5]].tolist()

    @pytest.mark.parametrize(
        ("repeats", "result"),
        [((1, 1, 1, 1), "N,2,2,2"), ((1, 1, 3, 2), "N,2,6,4"), ((2, 1, 1, 1), "M,2,2,2")],
    )
    def test_of_space_or_batch(self, repeats: tuple[int, ...], result: str) -> None:
        case = tiled(repeats, result, 3)
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2]] * 2
        assert [case.carries("t", axis) for axis in (0, 2, 3)] == [False] * 3
        after = initializers(case.cut(case.units("h", 1, 0)))
        assert after["repeats"].tolist() == list(repeats)
        assert after["w2"].shape == (2, 2, 1, 1)

    def test_of_channels_and_space(self) -> None:
        case = tiled((1, 3, 1, 2), "N,2,2,4", 9)
        assert case.pattern(("t", 1)) == [[0, 1, 2, 0, 1, 2, 0, 1, 2]]
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {
            "w1": (1, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }

    def test_of_a_constant(self) -> None:
        case = analysed(
            "(float[2,3,2,2] x) => (float[2,2,2,2] y)",
            """
            [first] h = Conv (x, w1)
            t = Tile (bias, repeats)
            s = Add (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), bias=(1, 2, 1, 1), repeats=ints(2, 2, 2, 2),
        )  # fmt: skip
        # the bias has 2 values for 4 channels: 0 and 2 have one, 1 and 3 the other
        assert case.pattern(("h", 1), ("bias", 1)) == [[0, 1, 0, 1], [0, 1]]
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1), "bias": (1, 1, 1, 1),
        }  # fmt: skip

    def test_of_an_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,3,2,2] x) => (float[N,2,2,2] y)",
            """
            [first] h = Conv (x, w1)
            [many] t = Tile (x, repeats)
            s = Add (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 6, 1, 1), repeats=ints(1, 2, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


class TestFrozen:
    """Repeats that are not known leave all as it is."""

    def test_repeats_that_are_fed(self) -> None:
        case = analysed(
            "(float[N,3,2,2] x, int64[4] r) => (float[a,b,c,d] y)",
            "[first] h = Conv (x, w1) [many] t = Tile (h, r) y = Neg (t)",
            w1=(3, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "many")
        assert reason.sentence == "how often h is repeated is computed"


def test_no_macs_and_no_weight() -> None:
    case = tiled((1, 2, 1, 1), "N,2,2,2", 6)
    assert case.macs("many", h=(1, 3, 2, 2), t=(1, 6, 2, 2)) == 0
    assert case.weights("many") == ()
