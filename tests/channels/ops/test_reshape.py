"""Reshape: runs of axes are merged, kept or split; the target is written anew."""

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, analysed, initializers, ints
from oracle import assert_close, run

from onnxtrim.channels import Code
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut


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

    def test_a_0_that_copies_another_width_is_written_out(self) -> None:
        # (2, 4, 2) to (4, 4, 1): axis 0 of f is halves of samples, that is pairs of h's channels;
        # axis 1 of f has the 4 positions in it, and no longer the size of h's axis 1
        case = analysed(
            "(float[2,3,2] x) => (float[5,4] y)",
            """
            [first] h = Conv (x, w1)
            f = Reshape (h, target)
            m = Squeeze (f, last_axis)
            [last] y = MatMul (w2, m)
            """,
            w1=(4, 3, 1), w2=(5, 4), target=ints(4, 0, 1), last_axis=ints(2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 0)) == [[0, 0, 1, 1], [0, 1, 0, 1]]
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["target"].tolist() == [2, 4, 1]
        assert (thinner["w1"].shape, thinner["w2"].shape) == ((2, 3, 1), (5, 2))

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


class TestSplitting:
    """Splitting an axis leaves several that could carry the units: the one that frees most does."""

    @pytest.mark.parametrize(
        ("target", "after"),
        [((0, 2, 3), (0, 1, 3)), ((-1, 2, 3), (-1, 1, 3)), ((0, -1, 3), (0, -1, 3))],
    )
    def test_whole_heads(self, target: tuple[int, ...], after: tuple[int, ...]) -> None:
        # 6 features are 2 heads of 3; the convolution reads the heads as channels
        case = analysed(
            "(float[N,5] x) => (float[N,4,3] y)",
            "[first] h = MatMul (x, w1) f = Reshape (h, target) [last] y = Conv (f, w2)",
            w1=(5, 6), w2=(4, 2, 1), target=ints(*target),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 1), ("w2", 1)) == [[0, 0, 0, 1, 1, 1], [0, 1], [0, 1]]
        assert not case.carries("f", 2)
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["target"].tolist() == list(after)
        assert (thinner["w1"].shape, thinner["w2"].shape) == ((5, 3), (4, 1, 1))

    @pytest.mark.parametrize(
        ("target", "after"),
        [((0, 2, 3), (0, 2, 1)), ((-1, 2, 3), (-1, 2, 1)), ((0, 2, -1), (0, 2, -1))],
    )
    def test_the_same_feature_of_all_heads(
        self, target: tuple[int, ...], after: tuple[int, ...]
    ) -> None:
        # the product reads the 3 features of a head; the heads are rows of the output
        case = analysed(
            "(float[N,5] x) => (float[N,2,4] y)",
            "[first] h = MatMul (x, w1) f = Reshape (h, target) [last] y = MatMul (f, w2)",
            w1=(5, 6), w2=(3, 4), target=ints(*target),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 2), ("w2", 0)) == [
            [0, 1, 2, 0, 1, 2], [0, 1, 2], [0, 1, 2],
        ]  # fmt: skip
        assert not case.carries("f", 1)
        thinner = initializers(case.cut(case.units("h", 1, 0, 2)))
        assert thinner["target"].tolist() == list(after)
        assert (thinner["w1"].shape, thinner["w2"].shape) == ((5, 2), (1, 4))

    def test_an_axis_in_the_middle(self) -> None:
        # 12 = 2 * 3 * 2, and the 3 in the middle become the channels of a convolution
        case = analysed(
            "(float[N,5] x) => (float[N,4,2,2] y)",
            """
            [first] h = MatMul (x, w1)
            f = Reshape (h, target)
            t = Transpose <perm = [0, 2, 1, 3]> (f)
            [last] y = Conv (t, w2)
            """,
            w1=(5, 12), w2=(4, 3, 1, 1), target=ints(0, 2, 3, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 2), ("t", 1)) == [
            [0, 0, 1, 1, 2, 2] * 2, [0, 1, 2], [0, 1, 2],
        ]  # fmt: skip
        thinner = initializers(case.cut(case.units("h", 1, 2)))
        assert thinner["target"].tolist() == [0, 2, 2, 2]
        assert (thinner["w1"].shape, thinner["w2"].shape) == ((5, 8), (4, 2, 1, 1))

    def test_channels_of_a_map_in_groups(self) -> None:
        # 6 channels of 2 x 3 as 3 groups of 2, and back: the finer choice frees 3 units, not 2
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,4,2,3] y)",
            """
            [first] h = Conv (x, w1)
            f = Reshape (h, apart) r = Relu (f) b = Reshape (r, together)
            [last] y = Conv (b, w2)
            """,
            w1=(6, 3, 1, 1), w2=(4, 6, 1, 1), apart=ints(0, 3, 2, 2, 3), together=ints(0, 6, 2, 3),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 1), ("b", 1)) == [
            [0, 0, 1, 1, 2, 2], [0, 1, 2], [0, 0, 1, 1, 2, 2],
        ]  # fmt: skip
        thinner = initializers(case.cut(case.units("h", 1, 2)))
        assert thinner["apart"].tolist() == [0, 2, 2, 2, 3]
        assert thinner["together"].tolist() == [0, 4, 2, 3]

    @pytest.mark.parametrize(
        ("target", "result"), [((0, 2, 2, 6), "N,2,2,6"), ((0, 3, 8), "N,3,8")]
    )
    def test_into_the_output_of_the_graph(self, target: tuple[int, ...], result: str) -> None:
        case = reshaped(target, result)
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.sentence) == (
            Code.GRAPH_OUTPUT,
            "y is an output of the graph",
        )

    def test_across_the_borders_of_channels_all_go_together_or_none(self) -> None:
        # (4, 6) to (3, 8): every row of 8 holds parts of two channels, and these are a chain
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,5,8] y)",
            "[first] h = Conv (x, w1) f = Reshape (h, target) [last] y = Conv (f, w2)",
            w1=(4, 3, 1, 1), w2=(5, 3, 1), target=ints(0, 3, 8),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("f", 1)) == [[0, 0, 0, 0], [0, 0, 0]]


class TestComputedTargets:
    """A target that the graph computes is corrected where the result's sizes are known."""

    def computed(self, target: str, channels: int = 4) -> Analysed:
        """Returns conv (4 channels over N x 3 x S x T) -> reshape to `target` -> conv.

        In `target`, n, s and t are the open sizes of the input.
        """
        return analysed(
            "(float[N,3,S,T] x) => (float[a,2,b,c] y)",
            f"""
            [first] h = Conv (x, w1)
            size = Shape (x)
            n = Gather (size, i0) s = Gather (size, i2) t = Gather (size, i3)
            target = Concat <axis = 0> ({target})
            [shape] f = Reshape (h, target)
            [last] y = Conv (f, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, channels, 1, 1),
            i0=ints(0), i2=ints(2), i3=ints(3), c=ints(channels), one=ints(1), rest=ints(-1),
        )  # fmt: skip

    def test_the_width_is_written_by_a_where(self) -> None:
        # space changes its places, so the target cannot be said without computing
        case = self.computed("n, c, t, s")
        thinner = case.cut(case.units("h", 1, 1))
        corrected = thinner.graph.node("shape").inputs[1]
        assert corrected is not None
        where = corrected.producer()
        assert where is not None
        assert where.op_type == "Where"
        known, sizes, old = where.inputs
        assert known is not None
        assert sizes is not None
        assert old is not None
        arrays = initializers(thinner)
        assert arrays[str(known.name)].tolist() == [False, True, False, False]
        assert arrays[str(sizes.name)].tolist() == [0, 3, 0, 0]
        assert old.name == "target"

    def test_a_width_that_is_the_rest_beside_computed_sizes_is_frozen(self) -> None:
        # t and s might be anything: which of h's elements are in a channel of f is not known
        case = self.computed("n, rest, t, s")
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "shape")
        assert reason.sentence == "h is regrouped, and a size of it is not known"


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

    def test_a_single_channel_that_is_squeezed_away(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,2,3] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(1, 3, 1, 1), target=ints(0, 2, 3),
        )  # fmt: skip
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "shape")
        assert reason.sentence == "axis 1 of h is dropped"

    def test_a_batch_of_unknown_size_that_is_merged(self) -> None:
        # (N, 4, 2, 3) to (4 N, 6): the units would come N times
        case = reshaped((-1, 6), "M,6")
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "shape")
        assert reason.sentence == "h is regrouped, and a size of it is not known"

    def test_a_target_that_is_fed(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x, int64[2] target) => (float[a,b] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "shape")
        assert reason.sentence == "h is regrouped, and a size of it is not known"

    def test_a_target_that_is_fed_over_a_batch_that_is_known(self) -> None:
        case = analysed(
            "(float[2,3,2,3] x, int64[2] target) => (float[a,b] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "shape")
        assert reason.sentence == "f is regrouped, and a size of it is not known"

    def test_a_target_of_unknown_length(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x, int64[k] target) => (float[a,b] y)",
            "[first] h = Conv (x, w1) [shape] f = Reshape (h, target) y = Neg (f)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "shape")
        assert reason.sentence == "the rank of f is unknown"

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
        # and it is no hindrance to cutting elsewhere; the reader w4 is masked by hand, for the
        # products that the oracle adds are not known to so old an operator set
        arrays, inputs = initializers(case.model), case.inputs()
        masked = case.model.clone()
        zeroed = arrays["w4"].copy()
        zeroed[:, 0] = 0
        masked.graph.initializers["w4"].const_value = ir.Tensor(zeroed)
        units = case.units("g", 1, 0)
        plan = make_plan(case.channels, case.model.graph.initializers, units, "")
        thinner = cut(case.model, case.channels, plan)
        assert initializers(thinner)["w3"].shape == (3, 3, 1, 1)
        assert initializers(thinner)["w4"].shape == (2, 3, 1, 1)
        assert_close(run(thinner, inputs), run(masked, inputs))


def test_no_macs_and_no_weight() -> None:
    case = flattened((0, -1))
    assert case.macs("flat", h=(1, 4, 2, 3), f=(1, 24)) == 0
    assert case.weights("flat") == ()
