"""GroupNormalization: whole groups go; scale and bias are per group, or since 21 per channel."""

import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def normalised(opset: int, groups: int) -> Analysed:
    """Returns conv -> GroupNormalization -> conv over six channels."""
    vector = (6,) if opset >= 21 else (groups,)
    return analysed(
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        f"""
        [first] h = Conv (x, w1)
        [norm] n = GroupNormalization <num_groups = {groups}, epsilon = 0.01> (h, scale, shift)
        [last] y = Conv (n, w2)
        """,
        opset=opset,
        w1=(6, 3, 1, 1), scale=vector, shift=vector, w2=(2, 6, 1, 1),
    )  # fmt: skip


class TestUnits:
    """A group is a unit."""

    @pytest.mark.parametrize("opset", [18, 21])
    @pytest.mark.parametrize(
        ("groups", "channels"),
        [
            (1, [0, 0, 0, 0, 0, 0]),
            (2, [0, 0, 0, 1, 1, 1]),
            (3, [0, 0, 1, 1, 2, 2]),
            (6, [0, 1, 2, 3, 4, 5]),
        ],
    )
    def test_neighbours_go_together(self, groups: int, channels: list[int], opset: int) -> None:
        case = normalised(opset, groups)
        vector = channels if opset == 21 else list(range(groups))
        assert case.pattern(("h", 1), ("n", 1), ("w1", 0), ("w2", 1)) == [channels] * 4
        assert case.pattern(("h", 1), ("scale", 0), ("shift", 0))[1:] == [vector] * 2
        assert case.groups["first"].width == groups

    def test_the_other_axes_carry_nothing(self) -> None:
        case = normalised(21, 3)
        assert [case.carries("n", axis) for axis in (0, 2, 3)] == [False] * 3


class TestCut:
    """The groups that stay are normalised as before."""

    @pytest.mark.parametrize(("opset", "vector"), [(18, [0, 2]), (21, [0, 1, 4, 5])])
    def test_one_of_three_groups(self, opset: int, vector: list[int]) -> None:
        case = normalised(opset, 3)
        before = initializers(case.model)
        thinner = case.cut(case.units("h", 1, 2))
        after = initializers(thinner)
        assert after["scale"].tolist() == before["scale"][vector].tolist()
        assert after["shift"].tolist() == before["shift"][vector].tolist()
        assert after["w1"].tolist() == before["w1"][[0, 1, 4, 5]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [0, 1, 4, 5]].tolist()
        assert thinner.graph.node("norm").attributes["num_groups"].as_int() == 2

    @pytest.mark.parametrize("opset", [18, 21])
    @pytest.mark.parametrize(
        ("groups", "removed", "left"),
        [(2, (0,), 1), (3, (0, 5), 1), (6, (1, 2), 4), (6, (0, 1, 2, 3, 4), 1)],
    )
    def test_num_groups_is_the_number_that_stays(
        self, groups: int, removed: tuple[int, ...], left: int, opset: int
    ) -> None:
        case = normalised(opset, groups)
        thinner = case.cut(case.units("h", 1, *removed))
        assert thinner.graph.node("norm").attributes["num_groups"].as_int() == left
        assert initializers(thinner)["w1"].shape == (left * 6 // groups, 3, 1, 1)

    def test_a_cut_elsewhere_leaves_it_alone(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            [norm] n = GroupNormalization <num_groups = 2> (h, scale, shift)
            [next] g = Conv (n, w2)
            [last] y = Conv (g, w3)
            """,
            opset=21,
            w1=(6, 3, 1, 1), scale=(6,), shift=(6,), w2=(3, 6, 1, 1), w3=(2, 3, 1, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("g", 1, 1))
        assert thinner.graph.node("norm").attributes["num_groups"].as_int() == 2
        assert initializers(thinner)["scale"].shape == (6,)

    def test_flat_features_of_an_unknown_batch(self) -> None:
        case = analysed(
            "(float[N,5,3] x) => (float[N,2,3] y)",
            """
            [first] h = MatMul (w1, x)
            [norm] n = GroupNormalization <num_groups = 2> (h, scale, shift)
            [last] y = MatMul (w2, n)
            """,
            opset=21,
            w1=(4, 5), scale=(4,), shift=(4,), w2=(2, 4),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (2, 5), "scale": (2,), "shift": (2,), "w2": (2, 2),
        }  # fmt: skip

    def test_groups_of_different_sizes_in_a_row_take_the_larger_ones(self) -> None:
        # groups of 2 and of 4 over the same 8 channels
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            [small] n = GroupNormalization <num_groups = 4> (h, s1, b1)
            [large] m = GroupNormalization <num_groups = 2> (n, s2, b2)
            [last] y = Conv (m, w2)
            """,
            opset=18,
            w1=(8, 3, 1, 1), s1=(4,), b1=(4,), s2=(2,), b2=(2,), w2=(2, 8, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("s1", 0), ("s2", 0)) == [
            [0, 0, 0, 0, 1, 1, 1, 1],
            [0, 0, 1, 1],
            [0, 1],
        ]
        thinner = case.cut(case.units("h", 1, 0))
        counts = [
            thinner.graph.node(n).attributes["num_groups"].as_int() for n in ("small", "large")
        ]
        assert counts == [2, 1]

    def test_channels_on_the_batch_axis_pass(self) -> None:
        case = analysed(
            "(float[1,3,2,5] x) => (float[1,2,2,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [1, 2, 0, 3]> (h)
            [norm] n = GroupNormalization <num_groups = 2> (t, scale, shift)
            u = Transpose <perm = [2, 0, 1, 3]> (n)
            [last] y = Conv (u, w2)
            """,
            opset=21,
            w1=(4, 3, 1, 1), scale=(2,), shift=(2,), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip


class TestFrozen:
    """What the mean is taken over stays, and what meets something fixed."""

    def test_channels_on_a_spatial_axis(self) -> None:
        case = analysed(
            "(float[N,3,2,5] x) => (float[N,2,2,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            [norm] n = GroupNormalization <num_groups = 2> (t, scale, shift)
            u = Transpose <perm = [0, 2, 1, 3]> (n)
            [last] y = Conv (u, w2)
            """,
            opset=21,
            w1=(4, 3, 1, 1), scale=(2,), shift=(2,), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "norm")
        assert reason.sentence == "axis 2 of t is read as positions, not channels"

    def test_the_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,4,4,4] x) => (float[N,2,4,4] y)",
            """
            [norm] n = GroupNormalization <num_groups = 2> (x, scale, shift)
            [deep] d = Conv <group = 4> (n, wd)
            [last] y = Conv (d, w2)
            """,
            opset=21,
            scale=(4,), shift=(4,), wd=(4, 1, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["deep"]) == "graph input: x is an input of the graph"

    def test_a_scale_that_is_fed(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x, float[4] scale) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            [norm] n = GroupNormalization <num_groups = 2> (h, scale, shift)
            [last] y = Conv (n, w2)
            """,
            opset=21,
            w1=(4, 3, 1, 1), shift=(4,), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: scale is an input of the graph"


def test_no_macs_and_no_weight() -> None:
    case = normalised(21, 2)
    assert case.macs("norm", h=(1, 6, 4, 4), n=(1, 6, 4, 4)) == 0
    assert case.weights("norm") == ()
