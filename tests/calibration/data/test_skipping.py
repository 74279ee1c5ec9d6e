"""What cannot be used stops the run, or is left out by name."""

import pytest

from onnxtrim.calibration.data.skipping import usable
from onnxtrim.errors import DataError, UsageError


def halved(number: int) -> int:
    if number % 2:
        raise DataError(f"{number} is odd")
    return number // 2


def test_the_first_bad_item_stops_the_run() -> None:
    with pytest.raises(DataError, match=r"^3 is odd$"):
        usable([2, 3, 5], halved, str, skip_bad=False)


def test_bad_items_are_left_out_and_named() -> None:
    assert usable([2, 3, 4, 5], halved, str, skip_bad=True) == ([1, 2], ("3", "5"))


@pytest.mark.parametrize("skip_bad", [False, True])
def test_nothing_is_skipped_where_all_are_good(skip_bad: bool) -> None:
    assert usable([2, 4], halved, str, skip_bad=skip_bad) == ([1, 2], ())
    assert usable([], halved, str, skip_bad=skip_bad) == ([], ())


def test_where_all_are_bad_the_first_says_why() -> None:
    with pytest.raises(DataError, match=r"^3 is odd$"):
        usable([3, 5], halved, str, skip_bad=True)


def test_other_errors_are_never_skipped() -> None:
    def fail(_: int) -> int:
        raise UsageError("an option")

    with pytest.raises(UsageError):
        usable([2, 4], fail, str, skip_bad=True)
