"""Concat: the ids of the operands behind one another."""

import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def joined(expression: str, wide: int) -> Analysed:
    """Returns two convolutions (2 and 3 channels), joined in some way, and a third over them."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [a] p = Conv (x, w1)
        [b] q = Conv (x, w2, b2)
        [join] j = {expression}
        [last] y = Conv (j, w3)
        """,
        w1=(2, 3, 1, 1), w2=(3, 3, 1, 1), b2=(3,), w3=(2, wide, 1, 1),
    )  # fmt: skip


class TestChannelAxis:
    """The result carries the units of all operands in order."""

    @pytest.mark.parametrize("axis", [1, -3])
    def test_units_are_appended(self, axis: int) -> None:
        case = joined(f"Concat <axis = {axis}> (p, q)", 5)
        assert case.pattern(("p", 1), ("q", 1), ("j", 1), ("w3", 1)) == [
            [0, 1],
            [2, 3, 4],
            [0, 1, 2, 3, 4],
            [0, 1, 2, 3, 4],
        ]
        sizes = case.sizes_after(case.units("p", 1, 1), case.units("q", 1, 0, 2))
        assert sizes == {
            "w1": (1, 3, 1, 1), "w2": (1, 3, 1, 1), "b2": (1,), "w3": (2, 2, 1, 1),
        }  # fmt: skip

    def test_the_order_of_operands_is_that_of_the_units(self) -> None:
        case = joined("Concat <axis = 1> (q, p)", 5)
        assert case.pattern(("q", 1), ("p", 1), ("j", 1)) == [[0, 1, 2], [3, 4], [0, 1, 2, 3, 4]]
        before = initializers(case.model)["w3"]
        after = initializers(case.cut(case.units("q", 1, 1), case.units("p", 1, 0)))["w3"]
        assert after.tolist() == before[:, [0, 2, 4]].tolist()

    def test_a_tensor_with_itself_has_each_unit_twice(self) -> None:
        case = joined("Concat <axis = 1> (p, q, p)", 7)
        assert case.pattern(("j", 1)) == [[0, 1, 2, 3, 4, 0, 1]]
        group = case.groups["a"]
        assert (group.axes["p", 1], group.axes["j", 1]) == (1, 2)
        before = initializers(case.model)["w3"]
        after = initializers(case.cut(case.units("p", 1, 0)))["w3"]
        assert after.tolist() == before[:, [1, 2, 3, 4, 6]].tolist()

    def test_every_operand_is_a_group_of_its_own(self) -> None:
        case = joined("Concat <axis = 1> (p, q)", 5)
        assert {name: group.width for name, group in case.groups.items()} == {"a": 2, "b": 3}

    @pytest.mark.parametrize("order", ["x, p", "p, x"])
    def test_with_the_input_of_the_graph_only_the_other_part_can_go(self, order: str) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            f"""
            [a] p = Conv (x, w1)
            [join] j = Concat <axis = 1> ({order})
            [last] y = Conv (j, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 7, 1, 1),
        )  # fmt: skip
        start = 3 if order == "x, p" else 0
        assert case.pattern(("p", 1)) == [[0, 1, 2, 3]]
        assert (
            case.channels.axes["j", 1][start : start + 4].tolist()
            == case.channels.axes["p", 1].tolist()
        )
        before = initializers(case.model)["w2"]
        after = initializers(case.cut(case.units("p", 1, 1, 3)))["w2"]
        left = [0, 1, 2, 3, 5] if order == "x, p" else [0, 2, 4, 5, 6]
        assert after.tolist() == before[:, left].tolist()

    def test_a_chain_of_joins_as_in_a_dense_block(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] p = Conv (x, w1)
            [b] q = Conv (p, w2)
            j1 = Concat <axis = 1> (p, q)
            [c] r = Conv (j1, w3)
            j2 = Concat <axis = 1> (j1, r)
            [last] y = Conv (j2, w4)
            """,
            w1=(2, 3, 1, 1), w2=(2, 2, 1, 1), w3=(2, 4, 1, 1), w4=(2, 6, 1, 1),
        )  # fmt: skip
        assert case.pattern(("j1", 1), ("j2", 1)) == [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
        assert case.sizes_after(case.units("p", 1, 0), case.units("r", 1, 1)) == {
            "w1": (1, 3, 1, 1), "w2": (2, 1, 1, 1), "w3": (1, 3, 1, 1), "w4": (2, 4, 1, 1),
        }  # fmt: skip

    def test_an_operand_of_unknown_width_freezes_the_others(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[N,K,5,5] k) => (float[N,M,5,5] y)",
            "[a] p = Conv (x, w1) [join] j = Concat <axis = 1> (p, k) y = Neg (j)",
            w1=(4, 3, 1, 1),
        )
        assert case.groups == {}
        reason = case.reasons["a"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "join")
        assert reason.sentence == "j joins an unknown width"


class TestOtherAxes:
    """Along space or the batch, equal channels of the operands go together."""

    @pytest.mark.parametrize("axis", [2, 3, -1])
    def test_along_space(self, axis: int) -> None:
        height, width = (10, 5) if axis == 2 else (5, 10)
        case = analysed(
            f"(float[N,3,5,5] x) => (float[N,2,{height},{width}] y)",
            f"""
            [a] p = Conv (x, w1)
            [b] q = Conv (x, w2)
            [join] j = Concat <axis = {axis}> (p, q)
            [last] y = Conv (j, w3)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("p", 1), ("q", 1), ("j", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("j", axis) for axis in (0, 2, 3)] == [False] * 3
        assert case.sizes_after(case.units("p", 1, 2)) == {
            "w1": (3, 3, 1, 1), "w2": (3, 3, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip

    def test_along_space_with_a_constant(self) -> None:
        case = analysed(
            "(float[2,3,5,5] x) => (float[2,2,5,6] y)",
            """
            [a] p = Conv (x, w1)
            [join] j = Concat <axis = 3> (border, p)
            [last] y = Conv (j, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), border=(2, 4, 5, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("p", 1, 0)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "border": (2, 3, 5, 1),
        }  # fmt: skip

    def test_along_space_with_the_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,10] y)",
            "[a] p = Conv (x, w1) j = Concat <axis = 3> (p, x) [last] y = Conv (j, w2)",
            w1=(3, 3, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert case.reasons["a"].code == Code.GRAPH_INPUT

    def test_of_flat_features(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            [a] p = MatMul (x, w1)
            [b] q = MatMul (x, w2)
            j = Concat <axis = -1> (p, q)
            [last] y = MatMul (j, w3)
            """,
            w1=(5, 2), w2=(5, 2), w3=(4, 2),
        )  # fmt: skip
        assert case.pattern(("p", 1), ("q", 1), ("j", 1)) == [[0, 1], [2, 3], [0, 1, 2, 3]]
        assert case.sizes_after(case.units("q", 1, 0)) == {"w2": (5, 1), "w3": (3, 2)}


def test_no_macs_and_no_weight() -> None:
    case = joined("Concat <axis = 1> (p, q)", 5)
    assert case.macs("join", p=(1, 2, 5, 5), q=(1, 3, 5, 5), j=(1, 5, 5, 5)) == 0
    assert case.weights("join") == ()
