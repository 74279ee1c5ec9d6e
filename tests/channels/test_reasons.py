"""Reasons: values that sort by what is decisive, whatever the order of the graph."""

import itertools

from onnxtrim.channels.reasons import Code, Reason

ORDER = [
    "excluded", "graph output", "graph input", "unknown operator", "rule failed", "dynamic size",
    "channels are mixed", "broadcast", "positions, not channels",
]  # fmt: skip


def test_codes_are_in_the_order_in_which_they_are_reported() -> None:
    assert [code.value for code in Code] == ORDER


def test_reasons_sort_by_code_then_node_then_sentence() -> None:
    sorted_by_hand = [
        Reason(Code.EXCLUDED, "z", "z"),
        Reason(Code.GRAPH_OUTPUT, "a", "b"),
        Reason(Code.GRAPH_OUTPUT, "b", "a"),
        Reason(Code.GRAPH_OUTPUT, "b", "c"),
        Reason(Code.BROADCAST, "a", "a"),
    ]
    for shuffled in itertools.permutations(sorted_by_hand):
        assert sorted(shuffled, key=lambda reason: reason.rank) == sorted_by_hand


def test_a_reason_reads_as_code_and_sentence() -> None:
    assert str(Reason(Code.MIXED, "node", "axis 1 is split")) == (
        "channels are mixed: axis 1 is split"
    )


def test_equal_reasons_are_one() -> None:
    assert len({Reason(Code.MIXED, "n", "s"), Reason(Code.MIXED, "n", "s")}) == 1
