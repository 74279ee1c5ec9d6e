"""The result of the analysis: groups, positions, and what the user leaves out."""

import dataclasses

import numpy as np
import pytest

from onnxtrim.channels import ChannelGroup, ChannelMap, Code, Reason, WeightRead, WeightUse

AXES = {
    ("w1", 0): np.array([0, 1, 2]),
    ("h", 1): np.array([2, 2, 0, 1, 1, 0]),
    ("w2", 0): np.array([3, 4]),
    ("mix", 0): np.array([3, 0, 4, 9]),
}


def group(name: str, units: list[int], axes: dict[tuple[str, int], int]) -> ChannelGroup:
    writers = tuple(WeightUse(name, tensor, axis) for tensor, axis in axes if tensor[0] == "w")
    return ChannelGroup(name, np.array(units), axes, writers, (), (), ())


FIRST = group("block/first", [2, 0, 1], {("w1", 0): 1, ("h", 1): 2})
SECOND = group("block/second", [3, 4], {("w2", 0): 1, ("mix", 0): 1})
FROZEN = dataclasses.replace(
    group("head", [9], {("w3", 0): 1}), reason=Reason(Code.GRAPH_OUTPUT, "", "y is an output")
)
MAP = ChannelMap(AXES, 10, (FIRST, SECOND), (FROZEN,))


class TestGroup:
    """Where its units lie."""

    def test_width_counts_units_and_tensors_are_named_once(self) -> None:
        assert FIRST.width == 3
        assert group("g", [0], {("b", 1): 1, ("a", 0): 1, ("b", 0): 1}).tensors == ("a", "b")

    def test_the_weights_that_read_it_are_not_its_own_names(self) -> None:
        read = dataclasses.replace(
            group("g", [0], {("w1", 0): 1, ("h", 1): 1, ("w2", 1): 1}),
            writers=(WeightUse("g", "w1", 0), WeightUse("branch", "tied", 0)),
            readers=(WeightRead("next", "w2", 1), WeightRead("back", "tied", 1)),
        )
        tied = dataclasses.replace(read, axes={**read.axes, ("tied", 0): 1, ("tied", 1): 1})
        # a weight that both reads and writes the group is its own
        assert tied.own_names == ("g", "g", "branch", "h", "tied", "w1")

    def test_positions_come_in_the_order_of_the_units(self) -> None:
        # units 2, 0, 1 lie at 2, 0, 1 on the weight, and twice each on h
        assert FIRST.positions(AXES, "w1", 0).tolist() == [[2], [0], [1]]
        assert FIRST.positions(AXES, "h", 1).tolist() == [[0, 1], [2, 5], [3, 4]]

    def test_positions_of_other_groups_on_the_same_axis_are_passed_over(self) -> None:
        assert SECOND.positions(AXES, "mix", 0).tolist() == [[0], [2]]


class TestMap:
    """What stays, and why."""

    def test_every_frozen_unit_has_its_reason(self) -> None:
        assert MAP.frozen == {9: FROZEN.reason}

    def test_without_some_units_the_rest_is_left(self) -> None:
        left = MAP.without(np.array([0, 4]))
        assert left.stays.tolist() == [u not in (0, 4) for u in range(10)]
        found = left.indices("w1", 0)
        assert found is not None
        assert found.tolist() == [1, 2]

    def test_without_nothing_all_is_left(self) -> None:
        assert MAP.no_units.tolist() == []
        assert MAP.without(MAP.no_units).stays.all()


class TestMatches:
    """Whether a glob means any group."""

    @pytest.mark.parametrize(
        "glob", ["block/first", "block/*", "h", "w1", "w?", "mix", "head", "hea?", "w3", "*"]
    )
    def test_the_names_of_all_groups_frozen_or_not(self, glob: str) -> None:
        assert MAP.matches(glob)

    @pytest.mark.parametrize("glob", ["first", "BLOCK/*", "w4", "block", "", "mix?"])
    def test_nothing_else(self, glob: str) -> None:
        assert not MAP.matches(glob)

    def test_a_weight_that_only_reads_a_group_is_none_of_its_names(self) -> None:
        first = dataclasses.replace(FIRST, readers=(WeightRead("block/second", "w2", 1),))
        first = dataclasses.replace(first, axes={**first.axes, ("w2", 1): 1})
        assert not ChannelMap(AXES, 10, (first,), ()).matches("w2")
        assert ChannelMap(AXES, 10, (first, SECOND), ()).matches("w2")


class TestRestricted:
    """`--include` and `--exclude` are globs over names of nodes and tensors."""

    @pytest.mark.parametrize(
        ("include", "exclude", "free"),
        [
            ((), (), ["block/first", "block/second"]),
            (("block/*",), (), ["block/first", "block/second"]),
            (("*first",), (), ["block/first"]),
            (("h",), (), ["block/first"]),
            (("w2", "h"), (), ["block/first", "block/second"]),
            (("BLOCK/*",), (), []),
            (("first",), (), []),
            ((), ("*second",), ["block/first"]),
            ((), ("w?",), []),
            ((), ("w[13]",), ["block/second"]),
            (("block/*",), ("mix",), ["block/first"]),
            (("*first",), ("*first",), []),
        ],
    )
    def test_which_groups_stay_free(
        self, include: tuple[str, ...], exclude: tuple[str, ...], free: list[str]
    ) -> None:
        found = MAP.restricted(include, exclude)
        assert [g.name for g in found.groups] == free
        held = {g.name for g in found.frozen_groups}
        assert held == {"block/first", "block/second", "head"} - set(free)

    def test_the_weight_of_the_next_layer_names_that_layer(self) -> None:
        first = dataclasses.replace(FIRST, readers=(WeightRead("block/second", "w2", 1),))
        first = dataclasses.replace(first, axes={**first.axes, ("w2", 1): 1})
        both = ChannelMap(AXES, 10, (first, SECOND), ())
        assert [g.name for g in both.restricted(("w2",), ()).groups] == ["block/second"]

    def test_the_reason_names_the_option(self) -> None:
        included = MAP.restricted(("*first",), ()).frozen_groups[-1].reason
        assert included == Reason(
            Code.EXCLUDED, "block/second", "--include keeps block/second whole"
        )
        excluded = MAP.restricted((), ("mix",)).frozen_groups[-1].reason
        assert excluded == Reason(
            Code.EXCLUDED, "block/second", "--exclude keeps block/second whole"
        )

    def test_what_was_frozen_keeps_its_reason_and_the_units_their_numbers(self) -> None:
        found = MAP.restricted((), ("*",))
        assert found.frozen_groups[0] == FROZEN
        assert found.axes is MAP.axes
        assert found.unit_count == 10
        assert MAP.groups == (FIRST, SECOND)
        assert set(found.frozen) == {0, 1, 2, 3, 4, 9}

    def test_a_writer_that_is_not_the_first_names_its_group_too(self) -> None:
        shared = dataclasses.replace(FIRST, writers=(*FIRST.writers, WeightUse("branch", "w9", 0)))
        both = ChannelMap(AXES, 10, (shared, SECOND), ())
        assert [g.name for g in both.restricted(("branch",), ()).groups] == ["block/first"]
