"""Row-major regrouping: which axes become which, and what a merged or a split axis carries."""

import numpy as np
import onnx_ir as ir
import pytest

from onnxtrim.channels.ops.runs import Run, Sizes, aligned_runs, merged, relate_runs, symbolic
from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Channels, Fixed, Relations

BECAUSE = Reason(Code.MIXED, "somewhere", "because")


def made(name: str, *sizes: int | str | None) -> ir.Value:
    """Returns the output of a node."""
    value = ir.Value(name=name, shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))
    ir.Node("", "Thing", [], outputs=[value], name="maker")
    return value


def carrying(rel: Relations, *sizes: int | str, axes: tuple[int, ...]) -> ir.Value:
    """Returns a tensor `x` some of whose axes carry fresh ids."""
    x = made("x", *sizes)
    for axis in axes:
        size = sizes[axis]
        assert isinstance(size, int)
        rel.bind(x, axis, rel.fresh(size))
    return x


def ids(channels: Channels) -> list[int]:
    assert not isinstance(channels, Fixed)
    return [int(i) for i in channels]


def units(rel: Relations, *ids: int) -> list[list[int]]:
    """Returns which of `ids` are tied together, directly or not."""
    left, right = rel.edges()
    sets = [{i} for i in ids]
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        joined = [found for found in sets if found & {a, b}]
        sets = [found for found in sets if not found & {a, b}] + [set().union(*joined)]
    return sorted(sorted(found) for found in sets)


def refusals(rel: Relations) -> list[tuple[list[int], Code, str]]:
    return [(ids(frozen), reason.code, reason.sentence) for frozen, reason in rel.refusals()]


class TestAlignedRuns:
    """Neighbouring axes with equal products are one run."""

    @pytest.mark.parametrize(
        ("source", "result", "runs"),
        [
            ((2, 3, 4), (2, 3, 4), [([0], [0]), ([1], [1]), ([2], [2])]),
            ((2, 3, 4), (2, 12), [([0], [0]), ([1, 2], [1])]),
            ((2, 3, 4), (6, 4), [([0, 1], [0]), ([2], [1])]),
            ((2, 3, 4), (24,), [([0, 1, 2], [0])]),
            ((2, 12), (2, 3, 4), [([0], [0]), ([1], [1, 2])]),
            ((6, 4), (2, 3, 2, 2), [([0], [0, 1]), ([1], [2, 3])]),
            ((2, 2, 6), (4, 3, 2), [([0, 1], [0]), ([2], [1, 2])]),
            ((4, 6), (8, 3), [([0, 1], [0, 1])]),
        ],
    )
    def test_of_known_sizes(self, source: Sizes, result: Sizes, runs: list[Run]) -> None:
        assert sorted(aligned_runs(source, result)) == runs

    @pytest.mark.parametrize(
        ("source", "result", "runs"),
        [
            ((2, 1, 3), (2, 3), [([0], [0]), ([1], []), ([2], [1])]),
            ((2, 3), (1, 2, 1, 3), [([0], [1]), ([1], [3])]),
            ((1, 6, 1), (2, 1, 3), [([0], []), ([1], [0, 2]), ([2], [])]),
            ((), (1,), []),
            ((1, 1), (), [([0], []), ([1], [])]),
            ((), (), []),
        ],
    )
    def test_axes_of_size_1_are_on_no_side(
        self, source: Sizes, result: Sizes, runs: list[Run]
    ) -> None:
        assert sorted(aligned_runs(source, result)) == runs

    @pytest.mark.parametrize(
        ("source", "result", "runs"),
        [
            ((None, 3, 4), (None, 12), [([0], [0]), ([1, 2], [1])]),  # from the end
            ((3, None), (3, None), [([0], [0]), ([1], [1])]),  # from the start
            ((3, None, 4), (3, None, 4), [([0], [0]), ([1], [1]), ([2], [2])]),  # from both
            ((2, None), (2, 3), [([0], [0]), ([1], [1])]),
        ],
    )
    def test_a_single_open_size_is_what_the_others_leave(
        self, source: Sizes, result: Sizes, runs: list[Run]
    ) -> None:
        assert sorted(aligned_runs(source, result)) == runs

    @pytest.mark.parametrize(
        ("source", "result", "run"),
        [
            ((None, 6), (2, None, 3), ([0, 1], [0, 1, 2])),
            ((None, 4), (None,), ([0, 1], [0])),  # the open size must have become larger
            ((None, None), (None, None), ([0, 1], [0, 1])),  # they may have changed places
            (("N", 3), (3, "N"), ([0, 1], [0, 1])),
            (("N", None), ("M", None), ([0, 1], [0, 1])),
        ],
    )
    def test_what_is_open_in_between_is_one_run(
        self, source: Sizes, result: Sizes, run: Run
    ) -> None:
        assert aligned_runs(source, result) == [run]

    def test_known_sizes_in_front_of_open_ones_are_run_by_run(self) -> None:
        # 5 and 2 * 3 in front, 7 behind; two open sizes with a 4 that may be anywhere
        found = aligned_runs((5, 6, None, 4, None, 7), (5, 2, 3, None, None, 7))
        assert sorted(found) == [([0], [0]), ([1], [1, 2]), ([2, 3, 4], [3, 4]), ([5], [5])]

    @pytest.mark.parametrize(
        ("source", "result", "runs"),
        [
            (("N", 4, "H"), ("N", 4, "H"), [([0], [0]), ([1], [1]), ([2], [2])]),
            (("N", 4, "H", "W"), ("N", 4, None), [([0], [0]), ([1], [1]), ([2, 3], [2])]),
            (("N", 8, "L"), ("N", 2, 4, "L"), [([0], [0]), ([1], [1, 2]), ([2], [3])]),
            (("N", "T", 6), ("N", "T", 2, 3), [([0], [0]), ([1], [1]), ([2], [2, 3])]),
            (("H", 4, "W"), ("H", "W", 4), [([0], [0]), ([1, 2], [1, 2])]),
            (("N", "T", 6), ("M", 6), [([0, 1], [0]), ([2], [1])]),
        ],
    )
    def test_open_sizes_of_one_name_align(
        self, source: Sizes, result: Sizes, runs: list[Run]
    ) -> None:
        assert sorted(aligned_runs(source, result)) == runs


class TestSymbolic:
    """Sizes with the names of open ones."""

    def test_figures_names_and_nothing(self) -> None:
        assert symbolic(made("x", "N", 3, None)) == ["N", 3, None]

    @pytest.mark.parametrize("value", [None, ir.Value(name="q")])
    def test_a_tensor_without_rank_has_none(self, value: ir.Value | None) -> None:
        with pytest.raises(ValueError, match=r"^the rank of 'q?' is unknown$"):
            symbolic(value)


class TestMerged:
    """Several axes as one, in row-major order."""

    def test_positions_behind_the_channels_repeat_them(self) -> None:
        rel = Relations()
        x = carrying(rel, 2, 3, 4, axes=(1,))
        assert ids(merged(rel, x, (1, 2))) == [0] * 4 + [1] * 4 + [2] * 4

    def test_positions_in_front_tile_them(self) -> None:
        rel = Relations()
        x = carrying(rel, 2, 3, 4, axes=(1,))
        assert ids(merged(rel, x, (0, 1))) == [0, 1, 2, 0, 1, 2]
        assert ids(merged(rel, x, (0, 1, 2))) == ([0] * 4 + [1] * 4 + [2] * 4) * 2

    @pytest.mark.parametrize("alone", [False, True])
    def test_one_axis_is_itself(self, alone: bool) -> None:
        rel = Relations()
        x = carrying(rel, 2, 3, 4, axes=(1,))
        assert ids(merged(rel, x, (1,), alone=alone)) == [0, 1, 2]

    def test_one_axis_alone_may_have_an_open_size(self) -> None:
        rel = Relations()
        x = made("x", "N", "C")
        rel.bind(x, 1, rel.fresh(3))
        assert ids(merged(rel, x, (1,))) == [0, 1, 2]
        assert rel.refusals() == []
        found = merged(rel, x, (1,), alone=False)
        assert isinstance(found, Fixed)
        sentence = "x is regrouped, and a size of it is not known"
        assert refusals(rel) == [([0, 1, 2], Code.DYNAMIC_SIZE, sentence)]

    def test_without_channels_the_first_reason_is_handed_on(self) -> None:
        rel, x = Relations(), made("x", "N", 3, 4)
        rel.bind(x, 1, Fixed(BECAUSE))
        found = merged(rel, x, (1, 2))
        assert isinstance(found, Fixed)
        assert found.reason == BECAUSE
        assert rel.forks == []

    @pytest.mark.parametrize(
        ("choice", "flat", "frozen"),
        [
            (0, [0, 0, 0, 1, 1, 1], [2, 3, 4]),
            (1, [2, 3, 4, 2, 3, 4], [0, 1]),
            (9, [2, 3, 4, 2, 3, 4], [0, 1]),  # there is no tenth axis: the last one
        ],
    )
    def test_of_several_axes_with_channels_one_is_chosen(
        self, choice: int, flat: list[int], frozen: list[int]
    ) -> None:
        rel = Relations(choice=choice)
        x = carrying(rel, 2, 3, axes=(0, 1))  # ids 0 and 1 for rows, 2 to 4 for columns
        assert ids(merged(rel, x, (0, 1))) == flat
        sentence = "several axes of x with channels are flattened into one"
        assert refusals(rel) == [(frozen, Code.MIXED, sentence)]
        [fork] = rel.forks
        assert (fork.options, ids(fork.ids)) == (2, [0, 1, 2, 3, 4])

    def test_positions_between_two_axes_with_channels_count(self) -> None:
        for choice, flat in ((0, [0] * 6 + [1] * 6), (1, [2, 3] * 6)):
            rel = Relations(choice=choice)
            x = carrying(rel, 2, 3, 2, axes=(0, 2))
            assert ids(merged(rel, x, (0, 1, 2))) == flat
            assert rel.forks[0].options == 2

    def test_positions_of_unknown_number_freeze_all_channels(self) -> None:
        rel = Relations()
        x = carrying(rel, "N", 2, 3, axes=(1, 2))
        found = merged(rel, x, (0, 1, 2))
        assert isinstance(found, Fixed)
        sentence = "x is regrouped, and a size of it is not known"
        assert (found.reason.code, found.reason.sentence) == (Code.DYNAMIC_SIZE, sentence)
        assert refusals(rel) == [
            ([0, 1], Code.DYNAMIC_SIZE, sentence),
            ([2, 3, 4], Code.DYNAMIC_SIZE, sentence),
        ]
        assert rel.forks == []


class TestRelateRuns:
    """What the result carries."""

    def test_one_to_one_is_handed_on(self) -> None:
        rel = Relations()
        x, y = carrying(rel, 2, 3, axes=(1,)), made("y", 1, 2, 3)
        relate_runs(rel, x, y, [([0], [1]), ([1], [2])])
        assert ids(rel.axis(y, 2)) == [0, 1, 2]
        assert isinstance(rel.axis(y, 1), Fixed)

    def test_an_axis_without_result_is_dropped(self) -> None:
        rel = Relations()
        x = carrying(rel, 2, 1, axes=(1,))
        relate_runs(rel, x, made("y", 2), [([1], []), ([0], [0])])
        assert refusals(rel) == [([0], Code.MIXED, "axis 1 of x is dropped")]

    def test_a_result_of_nothing_holds_positions(self) -> None:
        rel = Relations()
        x, y = carrying(rel, 3, axes=(0,)), made("y", 3, 1)
        relate_runs(rel, x, y, [([0], [0]), ([], [1])])
        assert isinstance(rel.axis(y, 1), Fixed)
        assert ids(rel.axis(y, 0)) == [0, 1, 2]

    @pytest.mark.parametrize(
        ("choice", "axis", "tied"),
        [
            # 12 = 2 * 3 * 2: halves, thirds of each half, neighbours
            (0, 0, [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]),
            (1, 1, [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]),
            (2, 2, [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]),
        ],
    )
    def test_one_axis_of_a_split_carries_the_units(
        self, choice: int, axis: int, tied: list[list[int]]
    ) -> None:
        rel = Relations(choice=choice)
        x, y = carrying(rel, 12, axes=(0,)), made("y", 2, 3, 2)
        relate_runs(rel, x, y, [([0], [0, 1, 2])])
        assert units(rel, *range(12)) == tied
        assert ids(rel.axis(y, axis)) == [entry[0] for entry in tied]
        others = [other for other in range(3) if other != axis]
        assert all(isinstance(rel.axis(y, other), Fixed) for other in others)
        [fork] = rel.forks
        assert (fork.options, ids(fork.ids)) == (3, list(range(12)))

    def test_merged_and_split_at_once(self) -> None:
        # (4, 6) to (8, 3): row r of x is rows 2r and 2r + 1 of y
        rel = Relations()
        x, y = carrying(rel, 4, 6, axes=(0,)), made("y", 8, 3)
        relate_runs(rel, x, y, [([0, 1], [0, 1])])
        assert ids(rel.axis(y, 0)) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert units(rel, *range(4)) == [[0], [1], [2], [3]]

    def test_a_split_of_positions_stays_fixed_for_the_same_reason(self) -> None:
        rel = Relations()
        x, y = made("x", 6), made("y", 2, 3)
        rel.bind(x, 0, Fixed(BECAUSE))
        relate_runs(rel, x, y, [([0], [0, 1])])
        for axis in range(2):
            found = rel.axis(y, axis)
            assert isinstance(found, Fixed)
            assert found.reason == BECAUSE
        assert rel.forks == []

    def test_a_split_at_an_unknown_place_freezes(self) -> None:
        rel = Relations()
        x, y = carrying(rel, 6, axes=(0,)), made("y", "A", "B")
        relate_runs(rel, x, y, [([0], [0, 1])])
        sentence = "y is regrouped, and a size of it is not known"
        assert refusals(rel) == [([0, 1, 2, 3, 4, 5], Code.DYNAMIC_SIZE, sentence)]
        assert isinstance(rel.axis(y, 0), Fixed)

    def test_the_ids_say_where_the_elements_went(self) -> None:
        # elements of x, marked by the channel they belong to, are reshaped by numpy
        source, result = (2, 6, 3), (4, 3, 3)
        marks = np.broadcast_to(np.arange(6)[None, :, None], source).reshape(result)
        for choice in range(2):
            rel = Relations(choice=choice)
            x, y = carrying(rel, *source, axes=(1,)), made("y", *result)
            relate_runs(rel, x, y, aligned_runs(source, result))
            root = {i: found[0] for found in units(rel, *range(6)) for i in found}
            axis = next(a for a in (0, 1, 2) if not isinstance(rel.axis(y, a), Fixed))
            assert axis == choice
            for place, unit in enumerate(ids(rel.axis(y, axis))):
                there = np.unique(np.take(marks, place, axis))
                assert {root[int(mark)] for mark in there} == {root[unit]}
