"""Sizes as data: where they only size another tensor they follow the cut, else they stay.

Normalisation makes constants of sizes that are known. Most models here are analysed without it, so
that known sizes, too, are computed by the graph.
"""

from collections.abc import Callable

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, ints
from oracle import proto_of

from onnxtrim.channels import Code, Reason, analyze
from onnxtrim.graph import infer_shapes, load


def as_written(signature: str, body: str, weights: dict[str, Given], opset: int = 17) -> Analysed:
    """Returns the graph in ONNX text, analysed as it is."""
    rng = np.random.default_rng(42)
    arrays = {
        name: rng.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        for name, given in weights.items()
    }
    imports = f'"": {opset}, "my": 1'
    text = f"<ir_version: 8, opset_import: [{imports}]> g {signature} {{ {body} }}"
    model = infer_shapes(load(proto_of(text, arrays)))
    return Analysed(model, analyze(model))


def sized(body: str, opset: int = 17, /, **weights: Given) -> Analysed:
    """Returns conv of 4 channels (h) -> `body` (z) -> conv; its input is float[2,3,5,6]."""
    return as_written(
        "(float[2,3,5,6] x) => (float[n,2,s,t] y)",
        f"[first] h = Conv (x, w1) {body} [last] y = Conv (z, w2)",
        {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1), **weights},
        opset,
    )


def figure(places: str, opset: int = 17, /, **weights: Given) -> Analysed:
    """Returns h times a figure `f` (float) that `places` makes of the shape of h."""
    return sized(f"{places} z = Mul (h, f)", opset, **weights)


def assert_frozen(case: Analysed) -> None:
    """Fails unless the channels stay because their number is calculated with."""
    assert case.groups == {}
    sentence = "the size of axis 1 of h is calculated with"
    assert case.reasons["first"] == Reason(Code.MIXED, "sizes", sentence)


def assert_free(case: Analysed) -> None:
    """Fails unless two of the four channels can go.

    Corrections of a target add constants of their own.
    """
    sizes = case.sizes_after(case.units("h", 1, 0, 2))
    weights = {name: sizes[name] for name in sizes if not name.endswith(("_cut", "_known"))}
    assert weights == {"w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1)}


class TestFigures:
    """A size that is multiplied with is a number like any other."""

    @pytest.mark.parametrize(
        "places",
        [
            "g = Gather (s, one) f = Cast <to = 1> (g)",
            "g = Gather (s, minus) f = Cast <to = 1> (g)",
            "c = Cast <to = 6> (s) g = Gather (c, one) f = Cast <to = 1> (g)",
            "g = Gather (s, pair) k = Gather (g, one) f = Cast <to = 1> (k)",
            "k = Slice (s, one, two) f = Cast <to = 1> (k)",
            "m = ReduceProd <keepdims = 0> (s) f = Cast <to = 1> (m)",
        ],
    )
    def test_that_of_the_channels_freezes_them(self, places: str) -> None:
        given = {"one": ints(1), "minus": ints(-3), "two": ints(2), "pair": ints(3, 1)}
        used = {name: array for name, array in given.items() if name in places}
        assert_frozen(figure(f"[sizes] s = Shape (h) {places}", **used))

    @pytest.mark.parametrize("places", [ints(2), ints(-1), ints(0, 3)[1:], ints(2)[0]])
    def test_that_of_another_axis_freezes_nothing(self, places: Given) -> None:
        case = figure(
            "[sizes] s = Shape (h) g = Gather (s, place) f = Cast <to = 1> (g)", place=places
        )
        assert_free(case)

    def test_the_second_of_two_picked_sizes(self) -> None:
        # of (3, 1) the first is the width: the channels do not matter
        case = figure(
            """
            [sizes] s = Shape (h)
            g = Gather (s, pair)
            k = Gather (g, zero)
            f = Cast <to = 1> (k)
            """,
            pair=ints(3, 1), zero=ints(0),
        )  # fmt: skip
        assert_free(case)

    def test_places_count_from_where_a_slice_begins(self) -> None:
        # the first size of s[1:3] is that of the channels
        case = figure(
            """
            [sizes] s = Shape (h)
            k = Slice (s, one, three)
            g = Gather (k, zero)
            f = Cast <to = 1> (g)
            """,
            one=ints(1), three=ints(3), zero=ints(0),
        )  # fmt: skip
        assert_frozen(case)

    def test_places_count_from_where_a_join_begins(self) -> None:
        # place 2 of (7, sizes...) is the channels, and place 4 the width
        for place, outcome in ((2, assert_frozen), (4, assert_free)):
            case = figure(
                """
                [sizes] s = Shape (h)
                j = Concat <axis = 0> (seven, s)
                g = Gather (j, place)
                f = Cast <to = 1> (g)
                """,
                seven=ints(7), place=ints(place),
            )  # fmt: skip
            outcome(case)

    @pytest.mark.parametrize(
        ("slicing", "used", "outcome"),
        [
            ("k = Slice (s, one, big)", {"one": ints(1), "big": ints(9)}, assert_frozen),
            ("k = Slice (s, two, big)", {"two": ints(2), "big": ints(9)}, assert_free),
            (
                "k = Slice (s, last, first, zero, step)",
                {"last": ints(-1), "first": ints(0), "zero": ints(0), "step": ints(-2)},
                assert_frozen,
            ),
        ],
    )
    def test_only_what_a_slice_takes(
        self, slicing: str, used: dict[str, Given], outcome: Callable[[Analysed], None]
    ) -> None:
        case = figure(
            f"""
            [sizes] s = Shape (h)
            {slicing}
            p = ReduceProd <axes = [0]> (k)
            f = Cast <to = 1> (p)
            """,
            **used,
        )
        outcome(case)

    def test_the_bounds_of_a_slice_that_are_attributes(self) -> None:
        body = """
            [sizes] s = Shape (h)
            k = Slice <starts = [{}], ends = [9]> (s)
            p = ReduceProd <axes = [0]> (k)
            f = Cast <to = 1> (p)
        """
        assert_frozen(figure(body.format(1), 9))
        assert_free(figure(body.format(2), 9))

    def test_a_size_that_says_how_much_is_sliced(self) -> None:
        # four of six targets are taken because there are four channels
        case = sized(
            """
            [sizes] s = Shape <start = 1, end = 2> (h)
            t = Slice (target, zero, s)
            z = Reshape (h, t)
            """,
            target=ints(2, 4, 5, 6, 1, 1), zero=ints(0),
        )  # fmt: skip
        assert_frozen(case)

    def test_a_place_that_is_fed_may_be_any(self) -> None:
        case = as_written(
            "(float[2,3,5,6] x, int64 i) => (float[2,2,5,6] y)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            g = Gather (s, i)
            f = Cast <to = 1> (g)
            z = Mul (h, f)
            [last] y = Conv (z, w2)
            """,
            {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)},
        )
        assert_frozen(case)

    def test_a_size_as_an_output_of_the_graph(self) -> None:
        case = as_written(
            "(float[2,3,5,6] x) => (float[2,2,5,6] y, int64[1] c)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            c = Gather (s, one)
            [last] y = Conv (h, w2)
            """,
            {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1), "one": ints(1)},
        )
        assert_frozen(case)

    def test_indices_that_are_sizes(self) -> None:
        # the size picks rows of a table: fewer channels would pick another
        case = figure(
            "[sizes] s = Shape <start = 1, end = 2> (h) f = Gather (table, s)", table=(9,)
        )
        assert_frozen(case)


class TestPartsOfAShape:
    """`start` and `end`, since opset 15, from either side."""

    @pytest.mark.parametrize("attributes", ["start = 1", "end = 2", "start = -3, end = -2"])
    def test_with_the_channels(self, attributes: str) -> None:
        case = figure(
            f"""
            [sizes] s = Shape <{attributes}> (h)
            m = ReduceProd <keepdims = 0> (s)
            f = Cast <to = 1> (m)
            """
        )
        assert_frozen(case)

    @pytest.mark.parametrize("attributes", ["start = 2", "end = 1", "start = -2", "end = -3"])
    @pytest.mark.parametrize("opset", [15, 21])
    def test_without_the_channels(self, attributes: str, opset: int) -> None:
        more = ", axes" if opset >= 18 else ""
        given = {"axes": ints(0)} if more else {}
        case = figure(
            f"""
            [sizes] s = Shape <{attributes}> (h)
            m = ReduceProd <keepdims = 0> (s {more})
            f = Cast <to = 1> (m)
            """,
            opset,
            **given,
        )
        assert_free(case)

    def test_a_place_counts_within_the_part(self) -> None:
        for start, frozen in ((1, True), (2, False)):
            case = figure(
                f"""
                [sizes] s = Shape <start = {start}> (h)
                g = Gather (s, zero)
                f = Cast <to = 1> (g)
                """,
                zero=ints(0),
            )
            if frozen:
                assert_frozen(case)
            else:
                assert_free(case)


class TestTargets:
    """Who takes a size for a size corrects it."""

    @pytest.mark.parametrize("opset", [9, 13, 17])
    def test_the_target_of_a_reshape(self, opset: int) -> None:
        case = analysed(
            "(float[N,3,H,W] x) => (float[N,2,H,W] y)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            z = Reshape (h, s)
            [last] y = Conv (z, w2)
            """,
            opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert_free(case)

    def test_a_target_that_is_put_together(self) -> None:
        case = sized(
            """
            [sizes] s = Shape (h)
            n = Gather (s, first)
            c = Gather (s, second)
            u = Unsqueeze (c, zero)
            v = Unsqueeze (n, zero)
            t = Concat <axis = 0> (v, u, rest)
            flat = Reshape (h, row)
            r = Relu (flat)
            z = Reshape (r, t)
            """,
            row=ints(2, -1), first=ints(0)[0], second=ints(1)[0], zero=ints(0), rest=ints(5, 6),
        )  # fmt: skip
        assert_free(case)

    def test_the_shape_of_an_expansion(self) -> None:
        case = sized("[sizes] s = Shape (h) e = Expand (one, s) z = Add (h, e)", one=(1, 1, 1, 1))
        assert_free(case)

    def test_a_tensor_made_of_nothing_but_its_shape(self) -> None:
        case = sized("[sizes] s = Shape (h) e = ConstantOfShape (s) z = Add (h, e)")
        assert_free(case)

    def test_one_figure_among_the_targets_is_enough_to_freeze(self) -> None:
        case = sized(
            """
            [sizes] s = Shape (h)
            e = Expand (one, s)
            g = Gather (s, place)
            f = Cast <to = 1> (g)
            a = Add (h, e)
            z = Mul (a, f)
            """,
            one=(1, 1, 1, 1), place=ints(1),
        )  # fmt: skip
        assert_frozen(case)


class TestOpenResults:
    """A size can only be corrected in a result of which it is known."""

    def case(self, body: str, opset: int = 17) -> Analysed:
        """Returns a product of 8 channels (h, [?, ?, 8]) that another tensor is sized by."""
        return as_written(
            "(float[2,7,3] x, float[6,8] u, int64[1] k) => (float[a,b,3] y)",
            f"""
            v = Slice (x, k, big, one)
            [first] h = MatMul (v, w1)
            [sizes] s = Shape (h)
            {body}
            [last] y = MatMul (z, w2)
            """,
            {"w1": (3, 8), "w2": (8, 3), "big": ints(99), "one": ints(1), "zero": ints(0)},
            opset,
        )

    def test_a_size_that_is_known_among_open_ones(self) -> None:
        assert "first" in self.case("z = Reshape (u, s)").groups

    def test_a_result_of_unknown_rank(self) -> None:
        # before opset 14 shape inference does not follow sizes that are open
        case = self.case("z = Reshape (u, s)", opset=13)
        assert {reason.node for reason in case.channels.barriers} == {"Reshape(z)", "last"}
        assert_frozen_by(case, "the size of axis 2 of h is calculated with")

    def test_sizes_in_an_order_that_is_not_followed(self) -> None:
        case = self.case("m = Unsqueeze (s, zero) t = Squeeze (m, zero) z = Reshape (u, t)")
        assert_frozen_by(case, "the size of axis 2 of h is calculated with")

    def test_a_resize_that_does_not_correct(self) -> None:
        case = as_written(
            "(float[2,3,5,6] x, float[2,4,7,8] u, float[8] roi) => (float[a,b,c,d] y)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            z = Resize <coordinate_transformation_mode = "tf_crop_and_resize"> (u, roi, , s)
            [last] y = Conv (z, w2)
            """,
            {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)},
        )
        assert_frozen_by(case, "the size of axis 1 of h is calculated with")


def assert_frozen_by(case: Analysed, sentence: str) -> None:
    """Fails unless the channels of `first` stay because of the Shape."""
    assert "first" not in case.groups
    assert case.reasons["first"] == Reason(Code.MIXED, "sizes", sentence)


class TestElsewhere:
    """What a graph inside, or an operator of another domain, does with a size is not known."""

    @pytest.mark.parametrize(
        ("made", "shape"),
        [
            ("{0} = ConstantOfShape (s)", "k, l, m, n"),
            ("{0}g = Gather (s, {0}o) {0} = ConstantOfShape ({0}g)", "k"),
        ],
    )
    def test_in_a_graph_inside(self, made: str, shape: str) -> None:
        one = "{0}o = Constant <value_ints = [1]> ()"
        branch = f"() => (float[{shape}] {{0}}) {{{{ {one} {made} }}}}"
        case = as_written(
            f"(float[2,3,5,6] x, bool b) => (float[2,2,5,6] y, float[{shape}] r)",
            f"""
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            r = If (b) <
              then_branch = then {branch.format("p")},
              else_branch = other {branch.format("q")}>
            [last] y = Conv (h, w2)
            """,
            {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)},
        )
        assert case.groups == {}
        sentence = "the size of axis 1 of h is calculated with"
        assert case.reasons["first"] == Reason(Code.MIXED, "sizes", sentence)

    def test_of_another_domain(self) -> None:
        text = """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            c = my.Cast (s)
            [last] y = Conv (h, w2)
        """
        case = as_written(
            "(float[2,3,5,6] x) => (float[2,2,5,6] y, int64[4] c)",
            text,
            {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)},
        )
        assert case.groups == {}


class TestNormalised:
    """What stays in the graph are sizes that the inputs decide."""

    def test_how_many_elements_there_are_depends_on_the_channels(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            m = ReduceProd <keepdims = 0> (s)
            f = Cast <to = 1> (m)
            z = Mul (h, f)
            [last] y = Conv (z, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert_frozen(case)

    def test_a_target_with_an_open_batch(self) -> None:
        case = analysed(
            "(float[N,3,H,W] x) => (float[N,2,H,W] y)",
            """
            [first] h = Conv (x, w1)
            [sizes] s = Shape (h)
            e = ConstantOfShape (s)
            z = Add (h, e)
            [last] y = Conv (z, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert_free(case)


def test_a_shape_that_nobody_reads_freezes_nothing() -> None:
    case = sized("[sizes] s = Shape (h) z = Relu (h)")
    assert_free(case)


def test_no_macs_and_no_weight() -> None:
    case = figure("[sizes] s = Shape <end = 1> (h) f = Cast <to = 1> (s)")
    assert case.macs("sizes", h=(1, 4, 5, 6), s=(1,)) == 0
    assert case.weights("sizes") == ()


@pytest.mark.parametrize(
    ("fed", "passed_on"),
    [
        ("int64[1] start, int64[1] end", "v = Slice (s, start, end)"),
        ("int64[K] more", "v = Concat <axis = 0> (more, s)"),
    ],
)
def test_places_that_cannot_be_told_are_all_used(fed: str, passed_on: str) -> None:
    case = analysed(
        f"(float[N,3,5,5] x, {fed}) => (float[N,2,5,5] y, int64[M] w)",
        f"""
        [first] h = Conv (x, w1)
        [size] s = Shape (h)
        {passed_on} w = Neg (v)
        [last] y = Conv (h, w2)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "size")
    assert reason.sentence == "the size of axis 1 of h is calculated with"
