"""What a set of removed units leaves of every axis."""

import numpy as np

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.relations import Ids

AXES = {
    ("w", 0): np.array([0, 1, 2]),
    ("w", 1): np.array([3, 4, 3, 4]),
    ("h", 1): np.array([0, 0, 1, 1, 2, 2]),
    ("v", 0): np.array([5]),
}


def kept(*removed: int) -> Kept:
    stays = np.ones(6, dtype=np.bool_)
    stays[list(removed)] = False
    return Kept(AXES, stays)


def positions(found: Ids | None) -> list[int] | None:
    return None if found is None else [int(i) for i in found]


def masked(found: Kept, tensor: str, axis: int) -> list[bool] | None:
    mask = found.mask(tensor, axis)
    return None if mask is None else mask.tolist()


def test_positions_stay_whose_unit_stays() -> None:
    assert positions(kept(1, 4).indices("w", 0)) == [0, 2]
    assert positions(kept(1, 4).indices("w", 1)) == [0, 2]
    assert positions(kept(1, 4).indices("h", 1)) == [0, 1, 4, 5]
    assert positions(kept(0, 1, 2).indices("h", 1)) == []


def test_nothing_to_say_of_an_axis_that_stays_whole() -> None:
    assert kept(4).indices("w", 0) is None
    assert kept().indices("w", 1) is None
    assert kept(0).indices("w", 2) is None
    assert kept(0).indices("unknown", 0) is None


def test_a_mask_says_of_every_position_whether_it_stays() -> None:
    assert masked(kept(1, 4), "w", 0) == [True, False, True]
    assert masked(kept(1, 4), "w", 1) == [True, False, True, False]
    assert masked(kept(0, 1, 2), "h", 1) == [False] * 6
    assert masked(kept(0, 2), "h", 1) == [False, False, True, True, False, False]


def test_a_mask_of_an_axis_that_stays_whole_is_true() -> None:
    assert masked(kept(4), "w", 0) == [True] * 3
    assert masked(kept(), "v", 0) == [True]


def test_an_axis_without_units_has_no_mask() -> None:
    assert kept(0).mask("w", 2) is None
    assert kept(0).mask("h", 0) is None
    assert kept(0).mask("unknown", 0) is None


def test_a_mask_is_as_wide_as_the_axis_was_and_of_truth_values() -> None:
    found = kept(1).mask("h", 1)
    assert found is not None
    assert found.shape == (6,)
    assert found.dtype == np.bool_


def test_only_axes_that_lose_positions_are_cut() -> None:
    assert kept(1).cut_axes("w").keys() == {0}
    assert list(kept(1, 3).cut_axes("w")) == [0, 1]
    assert positions(kept(1, 3).cut_axes("w")[1]) == [1, 3]
    assert kept(5).cut_axes("w") == {}
    assert kept(1).cut_axes("unknown") == {}


def test_sizes_count_what_stays() -> None:
    assert kept(1).size("h", 1, 6) == 4
    assert kept(5).size("h", 1, 6) == 6
    assert kept(1).size("h", 0, 7) == 7
    assert kept(1).size("unknown", 0, 8) == 8


def test_shapes_change_where_units_went_and_nowhere_else() -> None:
    full = {"w": (3, 4, 9), "h": (2, 6, 5), "other": (8,)}
    assert kept(1, 3).shapes(full) == {"w": (2, 2, 9), "h": (2, 4, 5), "other": (8,)}
    assert kept().shapes(full) == full
    assert full["w"] == (3, 4, 9)
