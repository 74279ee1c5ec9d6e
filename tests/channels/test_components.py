"""Connected components, against the plainest union-find there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.channels.components import components


def by_hand(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Returns the smallest id of each component, by relabelling one pair at a time."""
    label = list(range(count))
    for a, b in pairs:
        low, high = sorted((label[a], label[b]))
        label = [low if one == high else one for one in label]
    return label


def found(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return [int(root) for root in components(count, ends[:, 0], ends[:, 1])]


@pytest.mark.parametrize(
    ("count", "pairs", "expected"),
    [
        (0, [], []),
        (3, [], [0, 1, 2]),
        (3, [(1, 1)], [0, 1, 2]),
        (4, [(3, 1)], [0, 1, 2, 1]),
        (4, [(2, 3), (3, 1), (1, 0)], [0, 0, 0, 0]),
        (6, [(5, 4), (1, 2), (4, 3), (5, 3)], [0, 1, 1, 3, 3, 3]),
    ],
)
def test_small_ones(count: int, pairs: list[tuple[int, int]], expected: list[int]) -> None:
    assert found(count, pairs) == expected


@given(st.data(), st.integers(1, 40))
def test_any_relations(data: st.DataObject, count: int) -> None:
    one = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(one, one), max_size=60))
    assert found(count, pairs) == by_hand(count, pairs)


@pytest.mark.parametrize("order", ["forwards", "backwards", "mixed"])
def test_a_long_chain_in_any_order_is_one_component(order: str) -> None:
    count = 20_000
    left = np.arange(count - 1)
    if order == "backwards":
        left = left[::-1]
    if order == "mixed":
        left = np.random.default_rng(1).permutation(left)
    assert not components(count, left, left + 1).any()


def test_two_chains_side_by_side_stay_apart() -> None:
    # even ids are one chain, odd ids another
    left = np.random.default_rng(2).permutation(np.arange(9_998))
    assert components(10_000, left, left + 2).tolist() == [0, 1] * 5_000


def test_what_is_given_is_not_changed() -> None:
    left, right = np.array([2, 1]), np.array([0, 2])
    assert components(3, left, right).tolist() == [0, 0, 0]
    assert (left.tolist(), right.tolist()) == ([2, 1], [0, 2])
