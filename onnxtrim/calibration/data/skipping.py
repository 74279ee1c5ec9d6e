"""What `--skip-bad` does: leave out what cannot be used, and say what it was."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from onnxtrim.errors import DataError

__all__ = ["usable"]

T = TypeVar("T")
R = TypeVar("R")


def usable(
    items: Iterable[T], use: Callable[[T], R], name: Callable[[T], str], *, skip_bad: bool
) -> tuple[list[R], tuple[str, ...]]:
    """Returns `use(item)` of all items that it does not fail on, and the names of the others.

    Raises:
        DataError: `use` fails on an item, and bad ones may not be skipped or all are bad.
    """
    found: list[R] = []
    faults: dict[str, DataError] = {}
    for item in items:
        try:
            found.append(use(item))
        except DataError as error:
            if not skip_bad:
                raise
            faults[name(item)] = error
    if faults and not found:
        raise next(iter(faults.values()))
    return found, tuple(faults)
