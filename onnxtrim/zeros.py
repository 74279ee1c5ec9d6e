"""What may be asked of weight pruning: a share of zeros, or a pattern N:M."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from onnxtrim.errors import UsageError

__all__ = ["Pattern", "check_zeros", "pattern_of"]

_OF_CHANNELS = (
    "ratio",
    "macs",
    "params",
    "size",
    "latency",
    "max_drop",
    "below_std",
    "lossless",
    "criterion",
    "allocate",
    "compensate",
    "refresh",
    "reduce",
    "normalize",
    "align",
    "min_channels",
    "max_layer_ratio",
)
"""Options that say which channels go."""

_MEANT_ANYWAY = (("criterion", "l1"), ("compensate", "none"))
"""What such an option may say, since it is what weight pruning does."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """At most `kept` weights that are not 0 in each `width` in a row."""

    kept: int
    width: int


def pattern_of(text: str) -> Pattern:
    """Returns the pattern in N:M.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text)
    kept, width = map(int, found.groups()) if found else (0, 0)
    if not 0 < kept < width:
        raise UsageError(
            f"--pattern {text}: give N:M, whole numbers with N from 1 to below M, such as 2:4"
        )
    return Pattern(kept, width)


def check_zeros(given: Mapping[str, object]) -> None:
    """Raises UsageError where options of weight pruning make no sense, alone or beside others.

    Args:
        given: the options of pruning that are not at their default, by the name of their field.
    """
    weights, pattern = given.get("weights"), given.get("pattern")
    if isinstance(weights, int | float) and not 0 < weights < 1:
        raise UsageError(
            f"--weights {weights}: is the share of weights that are set to 0, between 0 and 1"
        )
    if pattern is not None:
        pattern_of(str(pattern))
    if weights is None and pattern is None:
        return
    asked = f"--weights {weights}" if pattern is None else f"--pattern {pattern}"
    if weights is not None and pattern is not None:
        raise UsageError(
            f"--weights {weights} and --pattern {pattern} contradict each other: a pattern has a "
            "share of its own; leave one of them out"
        )
    for name in _OF_CHANNELS:
        if name in given and (name, given[name]) not in _MEANT_ANYWAY:
            option = f"--{name.replace('_', '-')}"
            option += "" if given[name] is True else f" {given[name]}"
            raise UsageError(
                f"{asked} and {option} contradict each other: the first sets single weights to 0, "
                "and the second is about removing channels; leave one of them out"
            )
