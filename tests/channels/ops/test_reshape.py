"""Reshape: runs of axes are merged, kept or split; the target is written anew."""

import numpy as np
import pytest
from cutting import Analysed, analysed, initializers, ints

from onnxtrim.channels import Code
from onnxtrim.channels.ops.reshape import aligned_runs
from onnxtrim.graph.shapes import Shape


def flattened(target: tuple[int, ...], batch: str = "N") -> Analysed:
    """Returns conv (4 channels of 2 x 3) -> reshape -> matrix product over 24 features."""
    return analysed(
        f"(float[{batch},3,2,3] x) => (float[{batch},2] y)",
        """
        [first] h = Conv (x, w1)
        [flat] f = Reshape (h, target)
        [last] y = MatMul (f, w2)
        """,
        w1=(4, 3, 1, 1), w2=(24, 2), target=ints(*target),
    )  # fmt: skip


def reshaped(
    target: tuple[int, ...], result: str, batch: str = "N", attributes: str = ""
) -> Analysed:
    """Returns conv (4 channels of 2 x 3) -> reshape -> negation."""
    return analysed(
        f"(float[{batch},3,2,3] x) => (float[{result}] y)",
        f"[first] h = Conv (x, w1) [shape] f = Reshape {attributes} (h, target) y = Neg (f)",
        w1=(4, 3, 1, 1), target=ints(*target),
    )  # fmt: skip


class TestFlattening:
    """Channels and space become features: a channel takes its 6 positions along."""

    @pytest.mark.parametrize(
        ("target", "after"),
        [
            ((0, -1), (0, -1)),  # both say it already
            ((-1, 24), (-1, 18)),  # 3 of 4 channels stay, 6 positions each
            ((0, 24), (0, 18)),
        ],
    )
    @pytest.mark.parametrize("batch", ["N", "2"])
    def test_the_target_says_what_is_left(
        self, target: tuple[int, ...], after: tuple[int, ...], batch: str
    ) -> None:
        case = flattened(target, batch)
        expected = [c for c in range(4) for _ in range(6)]
        assert case.pattern(("h", 1), ("f", 1), ("w2", 0)) == [[0, 1, 2, 3], expected, expected]
        thinner = initializers(case.cut(case.units("h", 1, 1)))
        assert thinner["w1"].shape == (3, 3, 1, 1)
        assert thinner["w2"].shape == (18, 2)
        assert thinner["target"].tolist() == list(after)

    def test_a_target_without_open_sizes(self) -> None:
        case = flattened((2, 24), "2")
        thinner = initializers(case.cut(case.units("h", 1, 0, 2)))
        assert thinner["target"].tolist() == [2, 12]

    def test_the_batch_may_be_flattened_too_where_it_is_known(self) -> None:
        # (2, 4, 2, 3) to (48,): each sample has all channels, so the units come twice
        case = analysed(
            "(float[2,3,2,3] x) => (float[2] y)",
            "[first] h = Conv (x, w1) f = Reshape (h, target) [last] y = MatMul (f, w2)",
            w1=(4, 3, 1, 1), w2=(48, 2), target=ints(48),
        )  # fmt: skip
        once = [c for c in range(4) for _ in range(6)]
        assert case.pattern(("f", 0)) == [once + once]
        thinner = initializers(case.cut(case.units("h", 1, 3)))
        assert thinner["target"].tolist() == [36]


class TestRuns:
    """Axes that are kept hand their ids on."""

    @pytest.mark.parametrize(
        ("target", "result", "place"),
        [
            ((0, 0, -1), "N,4,6", 1),  # space merged
            ((0, 4, 6), "N,4,6", 1),
            ((0, 0, 0, 0), "N,4,2,3", 1),  # nothing changed
            ((-1, 4, 3, 2), "N,4,3,2", 1),  # space split anew
            ((0, 1, 4, 6), "N,1,4,6", 2),  # an axis of size 1 in front
            ((0, 4, 1, 6, 1), "N,4,1,6,1", 1),  # ... and behind
        ],
    )
    def test_channels_stay_an_axis(self, target: tuple[int, ...], result: str, place: int) -> None:
        case = reshaped(target, result)
        assert case.pattern(("h", 1), ("f", place)) == [[0, 1, 2, 3]] * 2
        axes = range(len(target))
        assert [axis for axis in axes if case.carries("f", axis)] == [place]

    def test_channels_merged_with_the_rows_alone(self) -> None:
        # (N, 4, 2, 3) to (N, 8, 3): each channel takes its 2 rows along
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,3] y)",
            "[first] h = Conv (x, w1) f = Reshape (h, target) [last] y = Conv (f, w2)",
            w1=(4, 3, 1, 1), w2=(2, 8, 1), target=ints(0, 8, 3),
        )  # fmt: skip
        assert case.pattern(("f", 1)) == [[0, 0, 1, 1, 2, 2, 3, 3]]
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["target"].tolist() == [0, 6, 3]

    def test_an_explicit_width_is_rewritten(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,6] y)",
            "[first] h = Conv (x, w1) f = Reshape (h, target) [last] y = Conv (f, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1), target=ints(0, 4, 6),
        )  # fmt: skip
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["target"].tolist() == [0, 3, 6]
        assert thinner["w2"].shape == (2, 3, 1)

    def test_there_and_back(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,2,3] y)",
            """
            [first] h = Conv (x, w1)
            f = Reshape (h, there)
            b = Reshape (f, back)
            [last] y = Conv (b, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), there=ints(-1, 4, 6), back=ints(-1, 4, 2, 3),
        )  # fmt: skip
        thinner = initializers(case.cut(case.units("h", 1, 1, 2)))
        assert thinner["there"].tolist() == [-1, 2, 6]
        assert thinner["back"].tolist() == [-1, 2, 2, 3]

    def test_features_become_maps_of_one_pixel(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2,1,1] y)",
            """
            [first] h = MatMul (x, w1)
            f = Reshape (h, target)
            [last] y = Conv (f, w2)
            """,
            w1=(5, 4), w2=(2, 4, 1, 1), target=ints(-1, 4, 1, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (5, 3), "w2": (2, 3, 1, 1)}

    def test_a_bias_is_reshaped_with_its_channels(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,2,3] y)",
            """
            [first] h = Conv (x, w1)
            c = Reshape (bias, target)
            s = Add (h, c)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), bias=(4,), target=ints(1, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("bias", 0), ("c", 1)) == [[0, 1, 2, 3]] * 3
        thinner = initializers(case.cut(case.units("h", 1, 2)))
        assert thinner["bias"].shape == (3,)
        assert thinner["target"].tolist() == [1, 3, 1, 1]


class TestSharedTargets:
    """A constant that several nodes use is written anew for those that need it."""

    def test_two_widths_from_one_target(self) -> None:
        # both branches flatten 4 channels of 2 x 3 to 24; one loses a channel, the other two
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2] y, float[N,2] z)",
            """
            [a] h = Conv (x, w1)
            [b] g = Conv (x, w2)
            [flat_a] f = Reshape (h, target)
            [flat_b] e = Reshape (g, target)
            [last_a] y = MatMul (f, v1)
            [last_b] z = MatMul (e, v2)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), v1=(24, 2), v2=(24, 2), target=ints(-1, 24),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0), case.units("g", 1, 1, 3))
        arrays = initializers(thinner)
        targets = [str(thinner.graph.node(n).inputs[1].name) for n in ("flat_a", "flat_b")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in targets] == [[-1, 18], [-1, 12]]

    def test_who_loses_nothing_keeps_the_old_one(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x, float[N,4,2,3] k) => (float[N,2] y, float[N,24] z)",
            """
            [a] h = Conv (x, w1)
            [flat_a] f = Reshape (h, target)
            [flat_b] e = Reshape (k, target)
            [last_a] y = MatMul (f, v1)
            z = Neg (e)
            """,
            w1=(4, 3, 1, 1), v1=(24, 2), target=ints(-1, 24),
        )  # fmt: skip
        arrays = initializers(case.cut(case.units("h", 1, 0)))
        assert arrays["target"].tolist() == [-1, 24]
        assert sorted(a.tolist() for a in arrays.values() if a.dtype == np.int64) == [
            [-1, 18],
            [-1, 24],
        ]


class TestFrozen:
    """What cannot be followed stays, and says why."""

    @pytest.mark.parametrize(
        ("target", "result"),
        [((0, 2, 2, 6), "N,2,2,6"), ((0, 3, 8), "N,3,8"), ((-1, 2, 12), "N,2,12")],
    )
    def test_channels_that_are_split(self, target: tuple[int, ...], result: str) -> None:
        case = reshaped(target, result)
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "shape")
        assert reason.sentence == "axis 1 is split or dropped"

    def test_a_single_channel_that_is_squeezed_away(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,3] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(1, 3, 1, 1), target=ints(0, 2, 3),
        )  # fmt: skip
        assert case.reasons["first"].sentence == "axis 1 is split or dropped"

    def test_a_batch_of_unknown_size_that_is_merged(self) -> None:
        case = reshaped((-1, 6), "M,6")
        assert case.groups == {}
        assert case.reasons["first"].node == "shape"

    def test_a_target_that_is_fed(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x, int64[2] target) => (float[a,b] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        assert str(case.reasons["first"]) == "dynamic size: the target of the reshape is computed"

    def test_a_target_that_is_fed_stays_as_it_is_when_something_else_is_cut(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x, int64[2] target) => (float[a,b] y, float[N,2,2,3] z)",
            """
            [first] h = Conv (x, w1)
            [last] z = Conv (h, w2)
            [shape] y = Reshape (x, target)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        kept = case.channels.without(case.units("h", 1, 0))
        node = case.node("shape")
        case.rule("shape").rewrite(node, kept)
        assert node.inputs[1] is case.model.graph.inputs[1]

    def test_before_opset_5_the_target_is_an_attribute_that_nobody_describes(self) -> None:
        case = analysed(
            "(float[1,3,2,3] x) => (float[1,2] y, float[1,2,2,3] z)",
            """
            [first] h = Conv (x, w1)
            [flat] f = Reshape <shape = [1, 24]> (h)
            [last] y = MatMul (f, w2)
            [other] g = Conv (x, w3)
            [end] z = Conv (g, w4)
            """,
            opset=4, w1=(4, 3, 1, 1), w2=(24, 2), w3=(4, 3, 1, 1), w4=(2, 4, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["other"]
        assert case.reasons["first"].code == Code.UNKNOWN_OPERATOR
        # and it is no hindrance to cutting elsewhere
        assert case.sizes_after(case.units("g", 1, 0)) == {
            "w3": (3, 3, 1, 1),
            "w4": (2, 3, 1, 1),
        }


@pytest.mark.parametrize(
    ("source", "result", "runs"),
    [
        ((2, 3, 4), (2, 3, 4), [([0], [0]), ([1], [1]), ([2], [2])]),
        ((2, 3, 4), (2, 12), [([0], [0]), ([1, 2], [1])]),
        ((2, 3, 4), (6, 4), [([0, 1], [0]), ([2], [1])]),
        ((2, 3, 4), (24,), [([0, 1, 2], [0])]),
        ((2, 12), (2, 3, 4), [([0], [0]), ([1], [1, 2])]),
        ((4, 6), (8, 3), [([0, 1], [0, 1])]),
        ((2, 1, 3), (2, 3), [([1], []), ([0], [0]), ([2], [1])]),
        ((2, 3), (1, 2, 1, 3), [([0], [1]), ([1], [3])]),
        ((None, 3, 4), (None, 12), [([0], [0]), ([1, 2], [1])]),
        ((3, None), (3, None), [([0], [0]), ([1], [1])]),
        ((None, 6), (2, None, 3), [([0, 1], [0, 1, 2])]),
        ((None, 4), (None,), None),  # the open size would have to be 4 times as large
        ((None, None), (None, None), None),  # two open sizes may have changed places
        ((2, None), (2, 3), None),
        ((2, 3), (2, 4), None),
        ((2,), (), None),
        ((), (1,), []),
    ],
)
def test_aligned_runs(
    source: Shape, result: Shape, runs: list[tuple[list[int], list[int]]] | None
) -> None:
    assert aligned_runs(source, result) == runs


def test_no_macs_and_no_weight() -> None:
    case = flattened((0, -1))
    assert case.macs("flat", h=(1, 4, 2, 3), f=(1, 24)) == 0
    assert case.weights("flat") == ()
