"""Pad: channels from nowhere get ids of their own; how many are added or taken is mended."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code


def padded(expression: str, pads: Given | None = None, opset: int = 17, wide: int = 7) -> Analysed:
    """Returns conv (4 channels) -> pad to `wide` channels, added to a conv of as many -> conv."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [thin] h = Conv (x, w1)
        [wide] g = Conv (x, w2)
        [pad] p = {expression}
        s = Add (p, g)
        [last] y = Conv (s, w3)
        """,
        {} if pads is None else {"pads": pads},
        opset=opset, w1=(4, 3, 1, 1), w2=(wide, 3, 1, 1), w3=(2, wide, 1, 1),
    )  # fmt: skip


class TestChannels:
    """The shortcut of a CIFAR ResNet, whose channels are padded where a block makes more."""

    @pytest.mark.parametrize("opset", [7, 9, 10])
    def test_amounts_that_are_an_attribute(self, opset: int) -> None:
        case = padded("Pad <pads = [0, 1, 0, 0, 0, 2, 0, 0]> (h)", opset=opset)
        # 1 in front and 2 behind are from nowhere
        assert case.pattern(("h", 1), ("p", 1), ("g", 1)) == [
            [0, 1, 2, 3],
            [4, 0, 1, 2, 3, 5, 6],
            [4, 0, 1, 2, 3, 5, 6],
        ]
        thinner = case.cut(case.units("p", 1, 0, 2, 6))
        pads = thinner.graph.node("pad").attributes["pads"].as_ints()
        assert list(pads) == [0, 0, 0, 0, 0, 1, 0, 0]

    @pytest.mark.parametrize("opset", [11, 13, 18, 19])
    def test_amounts_that_are_an_operand(self, opset: int) -> None:
        case = padded("Pad (h, pads)", ints(0, 1, 0, 0, 0, 2, 0, 0), opset)
        assert case.pattern(("h", 1), ("p", 1)) == [[0, 1, 2, 3], [4, 0, 1, 2, 3, 5, 6]]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("p", 1, 1, 5, 6)))
        assert after["pads"].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
        assert after["w1"].tolist() == before["w1"][1:].tolist()
        assert after["w2"].tolist() == before["w2"][[0, 2, 3, 4]].tolist()

    @pytest.mark.parametrize(
        ("axes", "pads", "left"),
        [
            ([1], [1, 2], [0, 1]),
            ([-3], [1, 2], [0, 1]),
            ([2, 1], [0, 1, 0, 2], [0, 0, 0, 1]),
        ],
    )
    def test_amounts_for_some_axes(self, axes: list[int], pads: list[int], left: list[int]) -> None:
        given = {"pads": ints(*pads), "axes": ints(*axes)}
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [thin] h = Conv (x, w1)
            [wide] g = Conv (x, w2)
            [pad] p = Pad (h, pads, , axes)
            s = Add (p, g)
            [last] y = Conv (s, w3)
            """,
            given, opset=18, w1=(4, 3, 1, 1), w2=(7, 3, 1, 1), w3=(2, 7, 1, 1),
        )  # fmt: skip
        assert case.pattern(("p", 1), ("h", 1)) == [[0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4]]
        after = initializers(case.cut(case.units("p", 1, 0, 2, 6)))
        assert after["pads"].tolist() == left
        assert after["axes"].tolist() == axes

    def test_what_is_padded_with_may_be_any_figure(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [thin] h = Conv (x, w1)
            [wide] g = Conv (x, w2)
            [pad] p = Pad <mode = "constant"> (h, pads, three)
            s = Mul (p, g)
            [last] y = Conv (s, w3)
            """,
            w1=(4, 3, 1, 1), w2=(6, 3, 1, 1), w3=(2, 6, 1, 1),
            pads=ints(0, 0, 0, 0, 0, 2, 0, 0), three=np.array(3, dtype=np.float32),
        )  # fmt: skip
        after = initializers(case.cut(case.units("p", 1, 3, 4)))
        assert after["pads"].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
        assert after["w3"].shape == (2, 4, 1, 1)

    def test_the_shortcut_of_a_cifar_network(self) -> None:
        # x[:, :, ::2, ::2], then 2 channels of zeros on either side, beside a block of stride 2
        case = analysed(
            "(float[N,3,6,6] x) => (float[N,2] y)",
            """
            [stem] h = Conv (x, w0)
            a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (h, w1)
            b = Relu (a)
            [block] c = Conv <pads = [1, 1, 1, 1]> (b, w2)
            [skip] d = Slice (h, starts, ends, axes, steps)
            [pad] e = Pad (d, pads)
            s = Add (c, e)
            t = Relu (s)
            m = GlobalAveragePool (t)
            f = Flatten (m)
            [last] y = Gemm <transB = 1> (f, w3)
            """,
            w0=(4, 3, 1, 1), w1=(5, 4, 3, 3), w2=(8, 5, 3, 3), w3=(2, 8),
            starts=ints(0, 0), ends=ints(2**63 - 1, 2**63 - 1), axes=ints(2, 3), steps=ints(2, 2),
            pads=ints(0, 2, 0, 0, 0, 2, 0, 0),
        )  # fmt: skip
        assert case.pattern(("c", 1), ("h", 1), ("d", 1)) == [
            [0, 1, 2, 3, 4, 5, 6, 7],
            [2, 3, 4, 5],
            [2, 3, 4, 5],
        ]
        after = initializers(case.cut(case.units("c", 1, 0, 3, 6, 7)))
        assert after["pads"].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
        assert [after[name].shape for name in ("w0", "w1", "w2", "w3")] == [
            (3, 3, 1, 1), (5, 3, 3, 3), (4, 5, 3, 3), (2, 4),
        ]  # fmt: skip
        assert (after["starts"].tolist(), after["steps"].tolist()) == ([0, 0], [2, 2])

    def test_who_shares_the_amounts_keeps_them(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[N,4,5,5] k) => (float[N,2,5,5] y, float[N,7,5,5] z)",
            """
            [thin] h = Conv (x, w1)
            [wide] g = Conv (x, w2)
            [pad] p = Pad (h, pads)
            [other] z = Pad (k, pads)
            s = Add (p, g)
            [last] y = Conv (s, w3)
            """,
            w1=(4, 3, 1, 1), w2=(7, 3, 1, 1), w3=(2, 7, 1, 1), pads=ints(0, 1, 0, 0, 0, 2, 0, 0),
        )  # fmt: skip
        thinner = case.cut(case.units("p", 1, 0, 5))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[1].name) for n in ("pad", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [
            [0, 0, 0, 0, 0, 1, 0, 0],
            [0, 1, 0, 0, 0, 2, 0, 0],
        ]


class TestNegative:
    """A negative amount takes channels away."""

    @pytest.mark.parametrize(
        ("begin", "end", "units", "removed", "left"),
        [
            (-1, -2, [1, 2, 3], [0, 2], (0, -2)),
            (-1, -2, [1, 2, 3], [4, 5, 1], (-1, 0)),
            (-3, 0, [3, 4, 5], [1, 3], (-2, 0)),
            (0, -3, [0, 1, 2], [0, 4], (0, -2)),
            (-2, 1, [2, 3, 4, 5, 6], [0, 1, 5], (0, 1)),
        ],
    )
    @pytest.mark.parametrize("opset", [9, 17])
    def test_how_much_is_left_to_take(
        self,
        begin: int,
        end: int,
        units: list[int],
        removed: list[int],
        left: tuple[int, int],
        opset: int,
    ) -> None:
        pads = [0, begin, 0, 0, 0, end, 0, 0]
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            f"""
            [first] h = Conv (x, w1)
            [pad] p = {f"Pad <pads = {pads}> (h)" if opset < 11 else "Pad (h, pads)"}
            [last] y = Conv (p, w2)
            """,
            {} if opset < 11 else {"pads": ints(*pads)},
            opset=opset, w1=(6, 3, 1, 1), w2=(2, len(units), 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1)) == [[0, 1, 2, 3, 4, 5], units]
        thinner = case.cut(case.units("h", 1, *removed))
        found = (
            initializers(thinner)["pads"].tolist()
            if opset > 10
            else list(thinner.graph.node("pad").attributes["pads"].as_ints())
        )
        assert (found[1], found[5]) == left
        assert sum(map(abs, found)) == abs(left[0]) + abs(left[1])


class TestSpace:
    """Padding space does nothing to channels, in whichever mode."""

    @pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
    @pytest.mark.parametrize("opset", [9, 17])
    def test_channels_are_handed_on(self, mode: str, opset: int) -> None:
        pads = [0, 0, 1, 2, 0, 0, 0, 1]
        old = f'Pad <mode = "{mode}", pads = {pads}> (h)'
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,6,8] y)",
            f"""
            [first] h = Conv (x, w1)
            [pad] p = {old if opset < 11 else f'Pad <mode = "{mode}"> (h, pads)'}
            [last] y = Conv (p, w2)
            """,
            {} if opset < 11 else {"pads": ints(*pads)},
            opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1)) == [[0, 1, 2, 3]] * 2
        assert [case.carries("p", axis) for axis in (0, 2, 3)] == [False] * 3
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {
            "w1": (2, 3, 1, 1),
            "w2": (2, 2, 1, 1),
        }

    def test_by_computed_amounts_for_axes_that_are_named(self) -> None:
        # k is multiplied by 0: the amounts are (1, 1, 0, 2), but only a run can tell
        case = analysed(
            "(float[N,3,5,5] x, int64[4] k) => (float[N,2,a,b] y)",
            """
            [first] h = Conv (x, w1)
            nothing = Mul (k, zero)
            pads = Add (nothing, base)
            [pad] p = Pad (h, pads, , axes)
            [last] y = Conv (p, w2)
            """,
            opset=18, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
            zero=ints(0), base=ints(1, 1, 0, 2), axes=ints(-2, -1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }


class TestFrozen:
    """What cannot be followed stays, and says why."""

    @pytest.mark.parametrize("mode", ["reflect", "edge"])
    @pytest.mark.parametrize("opset", [9, 17])
    def test_channels_that_are_padded_with_each_other(self, mode: str, opset: int) -> None:
        pads = [0, 1, 0, 0, 0, 2, 0, 0]
        old = f'Pad <mode = "{mode}", pads = {pads}> (h)'
        new = f'Pad <mode = "{mode}"> (h, pads)'
        case = padded(old if opset < 11 else new, None if opset < 11 else ints(*pads), opset)
        assert case.groups == {}
        reason = case.reasons["thin"]
        assert (reason.code, reason.node) == (Code.MIXED, "pad")
        assert reason.sentence == "channels of h are padded with each other"
        assert case.reasons["wide"].code == Code.POSITIONS

    @pytest.mark.parametrize(
        ("inputs", "operands"),
        [
            ("int64[8] f", "h, f"),
            ("int64[2] f", "h, f, , channels"),
            ("int64[1] f", "h, two, , f"),
        ],
    )
    def test_amounts_or_axes_that_are_fed(self, inputs: str, operands: str) -> None:
        case = analysed(
            f"(float[N,3,5,5] x, {inputs}) => (float[a,b,c,d] y) <float[a,b,c,d] p>",
            f"[first] h = Conv (x, w1) [pad] p = Pad ({operands}) y = Neg (p)",
            opset=18, w1=(4, 3, 1, 1), two=ints(1, 1), channels=ints(1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "pad")
        assert reason.sentence == "how far h is padded is computed"

    def test_what_meets_a_padded_input_stays_for_that_reason(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [pad] p = Pad (x, pads)
            s = Add (h, p)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), pads=ints(0, 1, 0, 0, 0, 0, 0, 0),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"

    def test_what_nobody_writes_is_no_group(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "[first] h = Conv (x, w1) [pad] p = Pad (h, pads) [last] y = Conv (p, w2)",
            w1=(4, 3, 1, 1), w2=(2, 6, 1, 1), pads=ints(0, 1, 0, 0, 0, 1, 0, 0),
        )  # fmt: skip
        assert {name: group.width for name, group in case.groups.items()} == {"first": 4}
        after = initializers(case.cut(case.units("h", 1, 0)))
        assert after["pads"].tolist() == [0, 1, 0, 0, 0, 1, 0, 0]


def test_no_macs_and_no_weight() -> None:
    case = padded("Pad (h, pads)", ints(0, 1, 0, 0, 0, 2, 0, 0))
    assert case.macs("pad", h=(1, 4, 5, 5), p=(1, 7, 5, 5)) == 0
    assert case.weights("pad") == ()
