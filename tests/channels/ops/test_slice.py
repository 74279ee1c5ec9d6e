"""Slice: ids of the positions that are taken; bounds are written anew, the step stays."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
BEFORE_THE_START = -(2**31) + 1

WITHOUT_STEP = [
    # start, end, what is taken of 0 ... 5, what is removed, the bounds that are left
    ((1, 4), [1, 2, 3], [0, 2], (0, 2)),
    ((-4, -1), [2, 3, 4], [1, 3], (1, 3)),
    ((0, 3), [0, 1, 2], [0, 5], (0, 2)),
    ((3, 2**31 - 1), [3, 4, 5], [0, 4], (2, 4)),
    ((-2, 1000), [4, 5], [4], (4, 5)),
    ((-100, 2), [0, 1], [1, 2, 3], (0, 1)),
    ((0, 2**31 - 1), [0, 1, 2, 3, 4, 5], [0, 3], (0, 4)),
]

WITH_STEP = [
    # start, end, step, the units of 0 ... 6 and of what is taken, what is removed, new bounds
    ((0, LARGEST, 1), [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6], [2, 3], (0, 5)),
    ((0, LARGEST, 2), [0, 0, 1, 1, 2, 2, 3], [0, 1, 2, 3], [2], (0, 5)),
    ((0, LARGEST, 2), [0, 0, 1, 1, 2, 2, 3], [0, 1, 2, 3], [6], (0, 6)),
    ((1, 6, 2), [0, 1, 1, 2, 2, 3, 4], [1, 2, 3], [0, 3], (0, 3)),
    ((1, 6, 2), [0, 1, 1, 2, 2, 3, 4], [1, 2, 3], [1, 6], (1, 4)),
    ((0, 7, 3), [0, 0, 0, 1, 1, 1, 2], [0, 1, 2], [3], (0, 4)),
    ((0, 6, 3), [0, 0, 0, 1, 2, 3, 4], [0, 1], [0, 5], (0, 1)),
    ((-1, SMALLEST, -1), [0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [2, 6],
     (4, BEFORE_THE_START)),
    ((4, 1, -1), [0, 1, 2, 3, 4, 5, 6], [4, 3, 2], [0, 3, 5], (2, 0)),
    ((-1, SMALLEST, -2), [0, 1, 1, 2, 2, 3, 3], [3, 2, 1, 0], [4], (4, BEFORE_THE_START)),
    # 5, 3, 1: the neighbours below 5 and 3 go with them; 0 and 6 are taken by no one
    ((5, 0, -2), [0, 1, 2, 2, 3, 3, 4], [3, 2, 1], [3], (3, 0)),
    ((5, 0, -2), [0, 1, 2, 2, 3, 3, 4], [3, 2, 1], [0, 5], (2, BEFORE_THE_START)),
    ((6, -100, -3), [0, 1, 1, 1, 2, 2, 2], [2, 1, 0], [2], (3, BEFORE_THE_START)),
]  # fmt: skip


def sliced(
    bounds: tuple[int, ...], wide: int, taken: int, opset: int = 17, kind: type = np.int64
) -> Analysed:
    """Returns conv (`wide` channels) -> slice of the channels -> conv over those `taken`."""
    start, end, step = (*bounds, 1)[:3]
    operands = "s, e, a" + (", d" if len(bounds) > 2 else "")
    given = {"s": start, "e": end, "a": 1} | ({"d": step} if len(bounds) > 2 else {})
    expression = f"Slice ({operands})".replace("(", "(h, ")
    if opset < 10:
        expression, given = f"Slice <starts = [{start}], ends = [{end}], axes = [1]> (h)", {}
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"[first] h = Conv (x, w1) [part] t = {expression} [last] y = Conv (t, w2)",
        {name: np.array([value], dtype=kind) for name, value in given.items()},
        opset=opset, w1=(wide, 3, 1, 1), w2=(2, taken, 1, 1),
    )  # fmt: skip


def boxed(expression: str, given: Mapping[str, Given] | None = None, opset: int = 17) -> Analysed:
    """Returns conv (6 channels) -> slice: channels 1 ... 3 of a part of the space -> conv."""
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2,a,b] y)",
        f"[first] h = Conv (x, w1) [part] t = {expression} [last] y = Conv (t, w2)",
        given, opset=opset, w1=(6, 3, 1, 1), w2=(2, 3, 1, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3, 4, 5], [1, 2, 3]]
    assert [case.carries("t", axis) for axis in (0, 2, 3)] == [False] * 3
    return case


def bounds_of(model: ir.Model) -> tuple[int, int]:
    """Returns the start and the end that the node `part` has for its only axis."""
    node, arrays = model.graph.node("part"), initializers(model)
    if "starts" in node.attributes:
        return node.attributes["starts"].as_ints()[0], node.attributes["ends"].as_ints()[0]
    start, end = (arrays[str(v.name)] for v in node.inputs[1:3] if v is not None)
    return start.item(), end.item()


class TestBounds:
    """The positions between the bounds hand their ids on."""

    @pytest.mark.parametrize("opset", [7, 9, 10, 13])
    @pytest.mark.parametrize(("bounds", "taken", "removed", "left"), WITHOUT_STEP)
    def test_without_a_step(
        self,
        bounds: tuple[int, int],
        taken: list[int],
        removed: list[int],
        left: tuple[int, int],
        opset: int,
    ) -> None:
        case = sliced(bounds, 6, len(taken), opset)
        assert case.pattern(("h", 1), ("t", 1), ("w2", 1)) == [list(range(6)), taken, taken]
        thinner = case.cut(case.units("h", 1, *removed))
        assert bounds_of(thinner) == left
        before, after = initializers(case.model), initializers(thinner)
        rows = [c for c in range(6) if c not in removed]
        columns = [i for i, c in enumerate(taken) if c not in removed]
        assert after["w1"].tolist() == before["w1"][rows].tolist()
        assert after["w2"].tolist() == before["w2"][:, columns].tolist()

    @pytest.mark.parametrize("opset", [10, 17])
    @pytest.mark.parametrize(("bounds", "whole", "taken", "removed", "left"), WITH_STEP)
    def test_with_a_step(
        self,
        bounds: tuple[int, int, int],
        whole: list[int],
        taken: list[int],
        removed: list[int],
        left: tuple[int, int],
        opset: int,
    ) -> None:
        case = sliced(bounds, 7, len(taken), opset)
        assert case.pattern(("h", 1), ("t", 1), ("w2", 1)) == [whole, taken, taken]
        thinner = case.cut(case.units("h", 1, *removed))
        assert bounds_of(thinner) == left
        assert initializers(thinner)["d"].tolist() == [bounds[2]]

    def test_what_is_taken_by_no_one_is_a_group_of_its_own(self) -> None:
        case = sliced((1, 4), 6, 3)
        assert sorted(group.width for group in case.groups.values()) == [3, 3]

    def test_bounds_that_still_hold_stay_as_they_are(self) -> None:
        # 5 lies behind the slice; both ends of 1 ... 3 are where they were
        case = sliced((1, 4), 6, 3)
        thinner = case.cut(case.units("h", 1, 2, 5))
        assert bounds_of(thinner) == (1, 3)
        case = sliced((-3, -1), 6, 2)
        kept = case.channels.without(case.channels.no_units)
        case.rule("part").rewrite(case.node("part"), kept)
        assert bounds_of(case.model) == (-3, -1)

    @pytest.mark.parametrize("step", [1, -1])
    def test_bounds_keep_their_type(self, step: int) -> None:
        bounds = (1, 2**31 - 1, 1) if step == 1 else (-1, -(2**31) + 1, -1)
        case = sliced(bounds, 6, 5 if step == 1 else 6, kind=np.int32)
        thinner = case.cut(case.units("h", 1, 0, 3))
        assert bounds_of(thinner) == ((0, 4) if step == 1 else (3, BEFORE_THE_START))
        arrays = initializers(thinner)
        assert [arrays[name].dtype for name in "sead"] == [np.int32] * 4

    def test_a_step_from_a_single_position_ties_nothing(self) -> None:
        case = sliced((2, 4, 5), 6, 1)
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3, 4, 5], [2]]
        gone = case.units("h", 1, 0, 3)
        case.rule("part").rewrite(case.node("part"), case.channels.without(gone))
        assert bounds_of(case.model) == (1, 2)

    @pytest.mark.parametrize("bounds", [(1, 4, 1), (2, 0, -1), (5, 0, -2)])
    def test_a_slice_of_which_nothing_is_left_is_empty(self, bounds: tuple[int, int, int]) -> None:
        taken = list(range(*bounds))
        case = sliced(bounds, 6, len(taken))
        gone = case.channels.axes["h", 1][taken]
        node = case.node("part")
        case.rule("part").rewrite(node, case.channels.without(np.unique(gone)))
        assert bounds_of(case.model) == (0, 0)

    def test_an_empty_slice_takes_nothing_of_what_is_left(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [part] t = Slice (h, s, e, a)
            j = Concat <axis = 1> (t, h)
            [last] y = Conv (j, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 6, 1, 1), s=ints(4), e=ints(2), a=ints(1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0, 1, 2))
        assert bounds_of(thinner) == (0, 0)


class TestAxes:
    """Every axis has its own bounds; the first ones are meant where none is named."""

    @pytest.mark.parametrize(
        ("axes", "starts", "ends", "left"),
        [
            ("axes = [1, 2]", [1, 0], [4, 3], [[0, 0], [2, 3]]),
            ("", [0, 1, 1], [100, 4, 3], [[0, 0, 1], [100, 2, 3]]),
        ],
    )
    def test_the_attributes_of_the_others_stay(
        self, axes: str, starts: list[int], ends: list[int], left: list[list[int]]
    ) -> None:
        attributes = f"starts = {starts}, ends = {ends}{', ' if axes else ''}{axes}"
        case = boxed(f"Slice <{attributes}> (h)", opset=9)
        node = case.cut(case.units("h", 1, 0, 2)).graph.node("part")
        assert [list(node.attributes[name].as_ints()) for name in ("starts", "ends")] == left

    @pytest.mark.parametrize(
        ("operands", "starts", "ends", "axes", "left"),
        [
            ("s, e, a", [1, 0], [4, 3], [1, 2], [[0, 0], [2, 3]]),
            ("s, e, a", [0, 1], [3, 4], [-1, -3], [[0, 0], [3, 2]]),
            ("s, e", [0, 1, 1], [100, 4, 3], [], [[0, 0, 1], [100, 2, 3]]),
            ("s, e, , d", [0, 1, 1], [100, 4, 3], [], [[0, 0, 1], [100, 2, 3]]),
        ],
    )
    def test_the_operands_of_the_others_stay(
        self,
        operands: str,
        starts: list[int],
        ends: list[int],
        axes: list[int],
        left: list[list[int]],
    ) -> None:
        given = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes), "d": ints(1, 1, 1)}
        case = boxed(f"Slice (h, {operands})", given)
        arrays = initializers(case.cut(case.units("h", 1, 0, 2)))
        assert [arrays[name].tolist() for name in ("s", "e")] == left

    def test_two_axes_with_channels(self) -> None:
        # the weight of a matrix product is sliced on both axes: 4 of 5 rows, 3 of 4 columns
        case = analysed(
            "(float[N,3] x) => (float[N,2] y)",
            """
            [first] h = MatMul (x, w1)
            [part] k = Slice (w, s, e, a)
            [second] g = MatMul (h, k)
            [last] y = MatMul (g, w3)
            """,
            w1=(3, 4), w=(5, 4), w3=(3, 2), s=ints(1, 0), e=ints(5, 3), a=ints(1, 0)[::-1],
        )  # fmt: skip
        # axes are (0, 1): rows 1 ... 4, columns 0 ... 2
        assert case.pattern(("h", 1), ("w", 0)) == [[0, 1, 2, 3], [4, 0, 1, 2, 3]]
        thinner = case.cut(case.units("h", 1, 0), case.units("g", 1, 2))
        arrays = initializers(thinner)
        assert arrays["w"].shape == (4, 3)
        assert (arrays["s"].tolist(), arrays["e"].tolist()) == ([1, 0], [4, 2])

    @pytest.mark.parametrize("height", ["5", "H"])
    def test_of_space_alone_every_second_position(self, height: str) -> None:
        case = analysed(
            f"(float[N,3,{height},5] x) => (float[N,2,a,3] y)",
            """
            [first] h = Conv (x, w1)
            [part] t = Slice (h, s, e, a, d)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
            s=ints(0, 0), e=ints(LARGEST, LARGEST), a=ints(2, 3), d=ints(2, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }


class TestSharedOperands:
    """A bound that stands elsewhere too is written for this node only."""

    def test_one_constant_for_start_axis_and_step(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [part] t = Slice (h, one, four, one, one)
            [last] y = Conv (t, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 3, 1, 1), one=ints(1), four=ints(4),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0, 1))
        assert bounds_of(thinner) == (0, 2)
        assert initializers(thinner)["one"].tolist() == [1]

    def test_the_end_of_one_is_the_start_of_the_next(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [front] p = Slice (h, zero, three, one)
            [back] q = Slice (h, three, six, one)
            j = Concat <axis = 1> (q, p)
            [last] y = Conv (j, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 6, 1, 1),
            zero=ints(0), one=ints(1), three=ints(3), six=ints(6),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("j", 1)) == [[0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2]]
        thinner = case.cut(case.units("h", 1, 1, 3, 4))
        arrays = initializers(thinner)
        found = {
            name: [
                arrays[str(v.name)].item()
                for v in thinner.graph.node(name).inputs[1:]
                if v is not None
            ]
            for name in ("front", "back")
        }
        # 0 2 | 5 are left
        assert found == {"front": [0, 2, 1], "back": [2, 3, 1]}

    def test_a_slice_of_the_input_keeps_its_own(self) -> None:
        case = analysed(
            "(float[N,6,5,5] x) => (float[N,2,5,5] y, float[N,3,5,5] z)",
            """
            [first] h = Conv (x, w1)
            [part] t = Slice (h, s, e, a)
            [other] z = Slice (x, s, e, a)
            [last] y = Conv (t, w2)
            """,
            w1=(6, 6, 1, 1), w2=(2, 3, 1, 1), s=ints(1), e=ints(4), a=ints(1),
        )  # fmt: skip
        arrays = initializers(case.cut(case.units("h", 1, 2)))
        assert (arrays["s"].item(), arrays["e"].item()) == (1, 4)
        thinner = case.cut(case.units("h", 1, 2))
        assert bounds_of(thinner) == (1, 3)


class TestComputed:
    """Bounds that the graph computes: on space they do no harm."""

    def test_on_space_the_channels_stay_free(self) -> None:
        # e is multiplied by 0: the end is 3, but only a run can tell
        case = analysed(
            "(float[N,3,5,5] x, int64[1] e) => (float[N,2,a,5] y)",
            """
            [first] h = Conv (x, w1)
            nothing = Mul (e, zero)
            end = Add (nothing, three)
            [part] t = Slice (h, zero, end, two)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), zero=ints(0), two=ints(2), three=ints(3),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }

    @pytest.mark.parametrize(
        ("inputs", "operands"),
        [
            ("int64[1] f", "f, six, one"),
            ("int64[1] f", "zero, f, one"),
            ("int64[1] f", "zero, six, f"),
            ("int64[1] f", "zero, six, one, f"),
            ("int64[K] f, int64[K] g", "f, g"),  # not even how many axes there are is known
            ("int64[K] f, int64[K] g", "f, f, g"),
        ],
    )
    def test_on_channels_nothing_can_go(self, inputs: str, operands: str) -> None:
        case = analysed(
            f"(float[N,3,5,5] x, {inputs}) => (float[a,b,c,d] y)",
            f"[first] h = Conv (x, w1) [part] t = Slice (h, {operands}) y = Neg (t)",
            w1=(4, 3, 1, 1), zero=ints(0), one=ints(1), six=ints(6),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "part")
        assert reason.sentence == "h is sliced at places that are computed"

    def test_a_slice_at_computed_places_is_not_rewritten(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, int64[1] f) => (float[a,b,c,d] y, float[N,2,5,5] z)",
            """
            [first] h = Conv (x, w1)
            [last] z = Conv (h, w2)
            [part] y = Slice (x, zero, six, f)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), zero=ints(0), six=ints(6),
        )  # fmt: skip
        node = case.node("part")
        operands = list(node.inputs)
        case.rule("part").rewrite(node, case.channels.without(case.units("h", 1, 0)))
        assert list(node.inputs) == operands
        assert bounds_of(case.model) == (0, 6)


def test_what_meets_a_slice_of_an_input_stays_for_that_reason() -> None:
    case = analysed(
        "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
        """
        [part] t = Slice (x, s, e, a)
        [first] h = Conv (x, w1)
        m = Add (h, t)
        [last] y = Conv (m, w2)
        """,
        w1=(2, 4, 1, 1), w2=(2, 2, 1, 1), s=ints(1), e=ints(3), a=ints(1),
    )  # fmt: skip
    assert case.groups == {}
    assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


def test_no_macs_and_no_weight() -> None:
    case = sliced((1, 4), 6, 3)
    assert case.macs("part", h=(1, 6, 5, 5), t=(1, 3, 5, 5)) == 0
    assert case.weights("part") == ()
