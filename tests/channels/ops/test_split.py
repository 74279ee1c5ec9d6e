"""Split: each output gets its share of the ids; what is left of the widths is written anew."""

import pytest
from cutting import Analysed, analysed, initializers, ints

from onnxtrim.channels import Code

AS_ATTRIBUTE = [
    (opset, f"Split <axis = {axis}, split = [2, 4]> (h)") for opset in (9, 11) for axis in (1, -3)
]
AS_OPERAND = [
    (opset, f"Split <axis = {axis}> (h, sizes)") for opset in (13, 18) for axis in (1, -3)
]


def parted(expression: str, left: int, right: int, opset: int = 17, sizes: str = "") -> Analysed:
    """Returns conv (6 channels) -> split in two -> one convolution over each part."""
    given = {"sizes": ints(*map(int, sizes.split()))} if sizes else {}
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,2,5,5] z)",
        f"""
        [first] h = Conv (x, w1)
        [parts] p, q = {expression}
        [a] y = Conv (p, wa)
        [b] z = Conv (q, wb)
        """,
        given,
        opset=opset, w1=(6, 3, 1, 1), wa=(2, left, 1, 1), wb=(2, right, 1, 1),
    )  # fmt: skip


class TestChannels:
    """The parts are groups of their own."""

    @pytest.mark.parametrize(("opset", "expression"), AS_ATTRIBUTE)
    def test_sizes_that_are_an_attribute(self, opset: int, expression: str) -> None:
        case = parted(expression, 2, 4, opset)
        assert case.pattern(("h", 1), ("p", 1), ("q", 1)) == [
            [0, 1, 2, 3, 4, 5],
            [0, 1],
            [2, 3, 4, 5],
        ]
        thinner = case.cut(case.units("p", 1, 1), case.units("q", 1, 0))
        node = thinner.graph.node("parts")
        assert list(node.attributes["split"].as_ints()) == [1, 3]
        assert len(node.inputs) == 1

    @pytest.mark.parametrize(("opset", "expression"), AS_OPERAND)
    def test_sizes_that_are_an_operand(self, opset: int, expression: str) -> None:
        case = parted(expression, 2, 4, opset, "2 4")
        assert case.pattern(("h", 1), ("p", 1), ("q", 1)) == [
            [0, 1, 2, 3, 4, 5],
            [0, 1],
            [2, 3, 4, 5],
        ]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("q", 1, 1, 3)))
        assert after["sizes"].tolist() == [2, 2]
        assert after["w1"].tolist() == before["w1"][[0, 1, 2, 4]].tolist()
        assert after["wa"].tolist() == before["wa"].tolist()
        assert after["wb"].tolist() == before["wb"][:, [0, 2]].tolist()

    @pytest.mark.parametrize("opset", [9, 11])
    def test_equal_parts_become_an_attribute(self, opset: int) -> None:
        case = parted("Split <axis = 1> (h)", 3, 3, opset)
        assert case.pattern(("h", 1), ("p", 1), ("q", 1)) == [
            [0, 1, 2, 3, 4, 5],
            [0, 1, 2],
            [3, 4, 5],
        ]
        thinner = case.cut(case.units("p", 1, 0, 2))
        assert list(thinner.graph.node("parts").attributes["split"].as_ints()) == [1, 3]

    @pytest.mark.parametrize(("opset", "attributes"), [(13, ""), (18, ", num_outputs = 2")])
    def test_equal_parts_become_an_operand(self, opset: int, attributes: str) -> None:
        case = parted(f"Split <axis = 1{attributes}> (h)", 3, 3, opset)
        assert case.pattern(("p", 1), ("q", 1)) == [[0, 1, 2], [3, 4, 5]]
        thinner = case.cut(case.units("q", 1, 1))
        assert initializers(thinner)["p.split"].tolist() == [3, 2]
        node = thinner.graph.node("parts")
        assert [str(value.name) for value in node.inputs if value is not None] == ["h", "p.split"]
        assert list(node.attributes) == ["axis"]

    def test_parts_that_stay_equal_are_written_too(self) -> None:
        case = parted("Split <axis = 1, num_outputs = 2> (h)", 3, 3, 18)
        after = initializers(case.cut(case.units("p", 1, 0), case.units("q", 1, 2)))
        assert after["p.split"].tolist() == [2, 2]

    def test_a_number_of_parts_that_does_not_divide_the_width(self) -> None:
        # 7 channels in 3 parts: 3, 3 and the last one of what is left
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [parts] p, q, r = Split <axis = 1, num_outputs = 3> (h)
            j = Concat <axis = 1> (r, q, p)
            [last] y = Conv (j, w2)
            """,
            opset=18, w1=(7, 3, 1, 1), w2=(2, 7, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1), ("q", 1), ("r", 1), ("j", 1)) == [
            [0, 1, 2, 3, 4, 5, 6],
            [0, 1, 2],
            [3, 4, 5],
            [6],
            [6, 3, 4, 5, 0, 1, 2],
        ]
        after = initializers(case.cut(case.units("h", 1, 0, 1, 4)))
        assert after["p.split"].tolist() == [1, 2, 1]

    def test_halves_that_gate_each_other_go_together(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [parts] p, q = Split <axis = 1> (h)
            g = Sigmoid (q)
            m = Mul (p, g)
            [last] y = Conv (m, w2)
            """,
            w1=(6, 3, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("m", 1)) == [[0, 1, 2, 0, 1, 2], [0, 1, 2]]
        after = initializers(case.cut(case.units("m", 1, 1)))
        assert after["w1"].shape == (4, 3, 1, 1)
        assert after["p.split"].tolist() == [2, 2]

    def test_a_constant_may_be_split(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            a, b = Split <axis = 1> (w, sizes)
            [left] p = MatMul (x, a)
            [right] q = MatMul (x, b)
            j = Concat <axis = 1> (q, p)
            [last] y = MatMul (j, w2)
            """,
            w=(5, 4), sizes=ints(1, 3), w2=(4, 2),
        )  # fmt: skip
        assert case.pattern(("w", 1), ("j", 1)) == [[0, 1, 2, 3], [1, 2, 3, 0]]
        after = initializers(case.cut(case.units("q", 1, 1)))
        assert after["w"].shape == (5, 3)
        assert after["sizes"].tolist() == [1, 2]


class TestSharedSizes:
    """Who loses nothing keeps the operand as it was."""

    def test_two_splits_by_one_operand(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [one] h = Conv (x, w1)
            [two] g = Conv (x, w2)
            [parts] p, q = Split <axis = 1> (h, sizes)
            [other] r, s = Split <axis = 1> (g, sizes)
            j = Concat <axis = 1> (p, q, r, s)
            [last] y = Conv (j, w3)
            """,
            w1=(3, 3, 1, 1), w2=(3, 3, 1, 1), sizes=ints(1, 2), w3=(2, 6, 1, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("q", 1, 0))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[1].name) for n in ("parts", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [[1, 1], [1, 2]]


class TestOtherAxes:
    """Along space equal channels of the parts go together."""

    @pytest.mark.parametrize(
        ("opset", "axis", "expression"),
        [
            (9, 2, "Split <axis = 2, split = [2, 3]> (h)"),
            (17, 2, "Split <axis = 2> (h, sizes)"),
            (17, -2, "Split <axis = -2> (h, sizes)"),
        ],
    )
    def test_along_space(self, opset: int, axis: int, expression: str) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,2,5] y, float[N,2,3,5] z)",
            f"""
            [first] h = Conv (x, w1)
            [parts] p, q = {expression}
            [a] y = Conv (p, wa)
            [b] z = Conv (q, wb)
            """,
            {} if opset == 9 else {"sizes": ints(2, 3)},
            opset=opset, w1=(4, 3, 1, 1), wa=(2, 4, 1, 1), wb=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1), ("q", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("p", axis) for axis in range(4)] == [False, True, False, False]
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "w1": (2, 3, 1, 1), "wa": (2, 2, 1, 1), "wb": (2, 2, 1, 1),
        }  # fmt: skip

    def test_halves_of_an_unknown_height(self) -> None:
        case = analysed(
            "(float[N,3,H,4] x) => (float[N,2,a,4] y)",
            """
            [first] h = Conv (x, w1)
            [parts] p, q = Split <axis = 2> (h)
            s = Sub (p, q)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("p", 1), ("q", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1),
            "w2": (2, 3, 1, 1),
        }

    def test_along_space_at_places_that_are_computed(self) -> None:
        # s is multiplied by 0: the sizes are (2, 3), but only a run can tell; the file says how
        # many axes the parts have, where inference does not
        case = analysed(
            """(float[N,3,5,5] x, int64[2] s) => (float[N,2,a,5] y, float[N,2,b,5] z)
            <float[N,4,a,5] p, float[N,4,b,5] q>""",
            """
            [first] h = Conv (x, w1)
            nothing = Mul (s, zero)
            sizes = Add (nothing, base)
            [parts] p, q = Split <axis = 2> (h, sizes)
            [a] y = Conv (p, wa)
            [b] z = Conv (q, wb)
            """,
            w1=(4, 3, 1, 1), wa=(2, 4, 1, 1), wb=(2, 4, 1, 1), zero=ints(0), base=ints(2, 3),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "wa": (2, 3, 1, 1), "wb": (2, 3, 1, 1),
        }  # fmt: skip


class TestFrozen:
    """What cannot be followed stays, and says why."""

    @pytest.mark.parametrize(
        ("stored", "sentence"),
        [
            ("", "the rank of p is unknown"),
            (
                "<float[N,a,5,5] p, float[N,b,5,5] q>",
                "h is split at places that are computed",
            ),
        ],
    )
    def test_sizes_that_are_fed(self, stored: str, sentence: str) -> None:
        case = analysed(
            f"(float[N,3,5,5] x, int64[2] s) => (float[N,a,5,5] y, float[N,b,5,5] z) {stored}",
            """
            [first] h = Conv (x, w1)
            [parts] p, q = Split <axis = 1> (h, s)
            y = Neg (p)
            z = Neg (q)
            """,
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "parts")
        assert reason.sentence == sentence

    @pytest.mark.parametrize("axis", [0, 1])
    def test_the_parts_of_an_input_of_the_graph(self, axis: int) -> None:
        channels = 2 if axis == 1 else 4
        case = analysed(
            f"(float[2,4,5,5] x) => (float[n,{channels},5,5] y, float[n,{channels},5,5] z)",
            f"""
            [parts] p, q = Split <axis = {axis}> (x)
            [deep] h = Conv <group = {channels}> (p, w1)
            y = Neg (h)
            z = Neg (q)
            """,
            w1=(channels, 1, 1, 1),
        )
        assert case.groups == {}
        assert case.reasons["deep"].code == Code.GRAPH_OUTPUT
        assert not case.carries("p", 1)

    def test_what_meets_a_part_of_an_input_stays_for_that_reason(self) -> None:
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            """
            [parts] p, q = Split <axis = 1> (x)
            [first] h = Conv (p, w1)
            s = Add (h, q)
            [last] y = Conv (s, w2)
            """,
            w1=(2, 2, 1, 1), w2=(2, 2, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


def test_no_macs_and_no_weight() -> None:
    case = parted("Split <axis = 1> (h)", 3, 3)
    assert case.macs("parts", h=(1, 6, 5, 5), p=(1, 3, 5, 5), q=(1, 3, 5, 5)) == 0
    assert case.weights("parts") == ()
