"""The six verbs, and the equations that they leave."""

import numpy as np
import onnx_ir as ir
import pytest

from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Channels, Fixed, Relations

BECAUSE = Reason(Code.MIXED, "somewhere", "because")


def tensor(name: str | None, *sizes: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))


def initializer(name: str, *sizes: int) -> ir.Value:
    value = tensor(name, *sizes)
    value.const_value = ir.Tensor(np.zeros(sizes, np.float32), name=name)
    ir.Graph([], [], nodes=[], initializers=[value], opset_imports={"": 17})
    return value


def made(name: str, *sizes: int | str) -> ir.Value:
    """Returns the output of a node called `maker`."""
    value = tensor(name, *sizes)
    ir.Node("", "Thing", [], outputs=[value], name="maker")
    return value


def ids(channels: Channels) -> list[int]:
    assert not isinstance(channels, Fixed)
    return [int(i) for i in channels]


def why(channels: Channels) -> Reason:
    assert isinstance(channels, Fixed)
    return channels.reason


def equations(rel: Relations) -> list[tuple[int, int]]:
    left, right = rel.edges()
    return list(zip(left.tolist(), right.tolist(), strict=True))


class TestAxis:
    """What an axis is before any rule bound it."""

    def test_axes_of_initializers_get_fresh_ids_once(self) -> None:
        rel, w = Relations(), initializer("w", 2, 3)
        assert ids(rel.axis(w, 1)) == [0, 1, 2]
        assert ids(rel.axis(w, 0)) == [3, 4]
        assert ids(rel.axis(w, 1)) == [0, 1, 2]
        assert rel.count == 5

    def test_axes_are_counted_from_the_end_too(self) -> None:
        rel, w = Relations(), initializer("w", 2, 3)
        assert ids(rel.axis(w, -1)) == ids(rel.axis(w, 1))
        assert set(rel.axes) == {("w", 1)}

    def test_a_scalar_has_none(self) -> None:
        assert why(Relations().axis(initializer("s"), 0)).code == Code.BROADCAST

    def test_inputs_of_the_graph_are_fixed(self) -> None:
        found = why(Relations().axis(tensor("x", 1, 3), 1))
        assert (found.code, found.sentence) == (Code.GRAPH_INPUT, "x is an input of the graph")

    def test_outputs_that_no_rule_bound_hold_positions(self) -> None:
        found = why(Relations().axis(made("h", 1, 3), 1))
        assert (found.code, found.node) == (Code.POSITIONS, "maker")
        assert found.sentence == "axis 1 of h holds positions, not channels"

    def test_an_operand_left_out_is_fixed(self) -> None:
        assert why(Relations().axis(None, 0)).code == Code.POSITIONS
        assert why(Relations().axis(tensor(None, 3), 0)).code == Code.POSITIONS

    def test_a_tensor_without_rank_is_fixed(self) -> None:
        found = why(Relations().axis(ir.Value(name="v"), 0))
        assert (found.code, found.sentence) == (Code.DYNAMIC_SIZE, "the rank of v is unknown")


class TestBind:
    """Giving ids to an output."""

    def test_what_was_bound_is_found(self) -> None:
        rel, h = Relations(), made("h", "N", 3)
        rel.bind(h, -1, rel.axis(initializer("w", 3), 0))
        assert ids(rel.axis(h, 1)) == [0, 1, 2]
        rel.bind(h, 0, Fixed(BECAUSE))
        assert why(rel.axis(h, 0)) == BECAUSE

    @pytest.mark.parametrize("axis", [1, -1])
    def test_another_size_is_a_fault_of_the_rule(self, axis: int) -> None:
        rel = Relations()
        with pytest.raises(ValueError, match=r"^3 ids for axis 1 of h, size 2$"):
            rel.bind(made("h", 1, 2), axis, rel.axis(initializer("w", 3), 0))

    def test_an_open_size_may_be_any(self) -> None:
        rel, h = Relations(), made("h", 1, "C")
        rel.bind(h, 1, rel.axis(initializer("w", 3), 0))
        assert ids(rel.axis(h, 1)) == [0, 1, 2]

    def test_what_is_bound_last_holds(self) -> None:
        rel, h = Relations(), made("h", 2)
        rel.bind(h, 0, Fixed(BECAUSE))
        rel.bind(h, 0, rel.fresh(2))
        assert ids(rel.axis(h, 0)) == [0, 1]

    def test_a_tensor_without_rank_freezes_what_it_would_carry(self) -> None:
        rel = Relations()
        rel.bind(ir.Value(name="h"), 1, rel.axis(initializer("w", 2), 0))
        [(frozen, reason)] = rel.refusals()
        assert (ids(frozen), reason.code) == ([0, 1], Code.DYNAMIC_SIZE)
        assert rel.axes.keys() == {("w", 0)}

    def test_a_tensor_without_rank_and_nothing_to_carry_is_nothing(self) -> None:
        rel = Relations()
        rel.bind(ir.Value(name="h"), 1, Fixed(BECAUSE))
        assert (rel.refusals(), rel.axes) == ([], {})


class TestEquations:
    """`same`, `same_across_blocks` and `block`."""

    def test_same_relates_position_by_position(self) -> None:
        rel = Relations()
        rel.same(rel.axis(initializer("a", 2), 0), rel.axis(initializer("b", 2), 0))
        assert equations(rel) == [(0, 2), (1, 3)]

    def test_same_refuses_other_lengths(self) -> None:
        rel = Relations()
        with pytest.raises(ValueError, match="2 ids cannot be the same as 3"):
            rel.same(rel.axis(initializer("a", 2), 0), rel.axis(initializer("b", 3), 0))

    @pytest.mark.parametrize("swapped", [False, True])
    def test_what_meets_a_fixed_axis_is_frozen_for_its_reason(self, swapped: bool) -> None:
        rel = Relations()
        pair: list[Channels] = [rel.axis(initializer("a", 2), 0), Fixed(BECAUSE)]
        rel.same(*reversed(pair)) if swapped else rel.same(*pair)
        assert equations(rel) == []
        [(frozen, reason)] = rel.refusals()
        assert (ids(frozen), reason) == ([0, 1], BECAUSE)

    def test_two_fixed_axes_say_nothing(self) -> None:
        rel = Relations()
        rel.same(Fixed(BECAUSE), Fixed(BECAUSE))
        assert (equations(rel), rel.refusals()) == ([], [])

    def test_equal_positions_of_blocks(self) -> None:
        rel = Relations()
        first = rel.same_across_blocks(rel.axis(initializer("w", 6), 0), 3)
        # 0 1 | 2 3 | 4 5
        assert ids(first) == [0, 1]
        assert equations(rel) == [(0, 2), (1, 3), (0, 4), (1, 5)]

    def test_neighbours_of_a_block(self) -> None:
        rel = Relations()
        first = rel.block(rel.axis(initializer("w", 6), 0), 3)
        # 0 1 2 | 3 4 5
        assert ids(first) == [0, 3]
        assert equations(rel) == [(0, 1), (0, 2), (3, 4), (3, 5)]

    def test_one_block_or_blocks_of_one_state_nothing(self) -> None:
        rel = Relations()
        whole = rel.axis(initializer("w", 4), 0)
        assert ids(rel.same_across_blocks(whole, 1)) == [0, 1, 2, 3]
        assert ids(rel.block(whole, 1)) == [0, 1, 2, 3]
        assert equations(rel) == []

    def test_blocks_that_do_not_divide_are_a_fault_of_the_rule(self) -> None:
        rel = Relations()
        whole = rel.axis(initializer("w", 4), 0)
        with pytest.raises(ValueError, match="reshape"):
            rel.same_across_blocks(whole, 3)
        with pytest.raises(ValueError, match="reshape"):
            rel.block(whole, 3)

    def test_blocks_of_a_fixed_axis_are_fixed(self) -> None:
        rel = Relations()
        assert why(rel.same_across_blocks(Fixed(BECAUSE), 2)) == BECAUSE
        assert why(rel.block(Fixed(BECAUSE), 2)) == BECAUSE


class TestFresh:
    """Ids that nobody has."""

    def test_they_follow_those_given_out(self) -> None:
        rel = Relations()
        rel.axis(initializer("w", 2), 0)
        assert ids(rel.fresh(3)) == [2, 3, 4]
        assert ids(rel.fresh(0)) == []
        assert ids(rel.fresh(1)) == [5]
        assert rel.count == 6

    def test_nothing_is_stated_of_them(self) -> None:
        rel = Relations()
        rel.fresh(3)
        assert (equations(rel), rel.refusals(), rel.axes) == ([], [], {})


class TestFork:
    """Which of several axes carries the units is taken from outside."""

    def test_forks_are_numbered_by_the_first_output_of_their_node(self) -> None:
        rel = Relations()
        for label in ("a", "b"):
            rel.begin(ir.Node("", "Reshape", [], outputs=[tensor(label, 1), tensor("more", 1)]))
            for _ in range(2):
                rel.fork(2, rel.fresh(1))
        assert [fork.key for fork in rel.forks] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
        assert [ids(fork.ids) for fork in rel.forks] == [[0], [1], [2], [3]]
        assert [fork.options for fork in rel.forks] == [2, 2, 2, 2]

    def test_before_any_node_the_name_is_empty(self) -> None:
        rel = Relations()
        assert rel.fork(2, rel.fresh(1)) == 0
        assert rel.forks[0].key == ("", 0)

    @pytest.mark.parametrize(("choice", "taken"), [(0, 0), (1, 1), (2, 2), (3, 2)])
    def test_the_choice_for_all_is_cut_off_at_the_last_option(
        self, choice: int, taken: int
    ) -> None:
        rel = Relations(choice=choice)
        assert rel.fork(3, rel.fresh(1)) == taken

    def test_a_choice_of_its_own_comes_first(self) -> None:
        rel = Relations({("", 1): 0, ("", 2): 7}, choice=1)
        assert [rel.fork(2, rel.fresh(1)) for _ in range(4)] == [1, 0, 1, 1]


class TestRefusals:
    """`freeze`, `seal` and `concrete`."""

    def test_freeze_names_the_current_node(self) -> None:
        rel = Relations()
        rel.freeze(rel.axis(initializer("a", 1), 0), Code.MIXED, "before any node")
        rel.begin(ir.Node("", "Relu", [], outputs=[tensor("r", 1)]))
        rel.freeze(rel.axis(initializer("b", 1), 0), Code.MIXED, "at a node without a name")
        rel.freeze(Fixed(BECAUSE), Code.MIXED, "nothing to freeze")
        assert [(ids(frozen), reason.node) for frozen, reason in rel.refusals()] == [
            ([0], ""),
            ([1], "Relu(r)"),
        ]

    @pytest.mark.parametrize("late", [False, True])
    def test_a_seal_holds_for_every_axis_before_and_after(self, late: bool) -> None:
        rel, h = Relations(), made("h", 2, 3)
        if not late:
            rel.seal(h, BECAUSE)
        rel.bind(h, 1, rel.axis(initializer("w", 3), 0))
        if late:
            rel.seal(h, BECAUSE)
        [(frozen, reason)] = rel.refusals()
        assert (ids(frozen), reason) == ([0, 1, 2], BECAUSE)

    def test_a_fixed_axis_under_a_seal_has_nothing_to_freeze(self) -> None:
        rel, h = Relations(), made("h", 2)
        rel.bind(h, 0, Fixed(BECAUSE))
        rel.seal(h, BECAUSE)
        assert rel.refusals() == []

    def test_a_sealed_tensor_gets_no_ids(self) -> None:
        rel, w = Relations(), initializer("w", 2)
        rel.seal(w, BECAUSE)
        assert why(rel.axis(w, 0)) == BECAUSE
        assert rel.count == 0

    @pytest.mark.parametrize("swapped", [False, True])
    def test_of_two_seals_the_decisive_one_holds(self, swapped: bool) -> None:
        rel, w = Relations(), initializer("w", 2)
        rel.axis(w, 0)
        strong = Reason(Code.GRAPH_OUTPUT, "", "strong")
        for reason in (strong, BECAUSE) if swapped else (BECAUSE, strong):
            rel.seal(w, reason)
        assert [reason for _, reason in rel.refusals()] == [strong]

    def test_a_tensor_without_name_cannot_be_sealed(self) -> None:
        rel = Relations()
        rel.seal(tensor(None, 2), BECAUSE)
        assert rel.refusals() == []

    def test_what_a_rule_passes_over_is_frozen_if_channels_lie_there(self) -> None:
        rel, h = Relations(), made("h", "N", 2, 3)
        rel.bind(h, 1, rel.axis(initializer("v", 2), 0))  # ids 0 and 1
        rel.bind(h, 2, rel.axis(initializer("w", 3), 0))  # ids 2 to 4
        node = ir.Node("", "Pool", [h, None], name="pool", num_outputs=1)
        rel.begin(node)
        rel.axis(h, 1)
        rel.end(node)
        [(frozen, reason)] = rel.refusals()
        assert ids(frozen) == [2, 3, 4]
        assert (reason.code, reason.node) == (Code.POSITIONS, "pool")
        assert reason.sentence == "axis 2 of h is read as positions, not channels"

    def test_what_one_rule_speaks_of_another_may_pass_over(self) -> None:
        rel, h = Relations(), made("h", "N", 2)
        rel.bind(h, 1, rel.axis(initializer("w", 2), 0))
        for name, speaks in (("speaks", True), ("silent", False)):
            node = ir.Node("", "Thing", [h], name=name, num_outputs=1)
            rel.begin(node)
            if speaks:
                rel.axis(h, 1)
            rel.end(node)
        [(_, reason)] = rel.refusals()
        assert reason.node == "silent"

    def test_concrete_gives_a_fixed_axis_frozen_ids(self) -> None:
        rel = Relations()
        given = rel.axis(initializer("w", 2), 0)
        assert rel.concrete(given, 2) is given
        assert ids(rel.concrete(Fixed(BECAUSE), 3)) == [2, 3, 4]
        [(frozen, reason)] = rel.refusals()
        assert (ids(frozen), reason) == ([2, 3, 4], BECAUSE)
