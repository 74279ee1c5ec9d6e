"""Budgets that can be counted: what may remain, as a fraction of the original or as a figure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxtrim.config import PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.selection.cost import Cost

__all__ = ["Budget", "limit_of", "milliseconds"]

_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BYTES = {
    **{f"{unit}{b}": size for unit, size in _COUNTS.items() for b in ("", "b")},
    **{f"{unit}ib": 1024.0**power for power, unit in enumerate(("", "k", "m", "g", "t")) if unit},
}
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_EXAMPLES = {"--latency": "12ms", "--size": "8MB"}
_SMALLEST_BROKEN = 1000
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most MACs, parameters and bytes of weights that may remain; None where nothing is asked.

    Attributes:
        macs: multiply-accumulates.
        params: parameters.
        size: bytes of the file.
        overhead: bytes of the file that are no weights, and stay.
    """

    macs: int | None = None
    params: int | None = None
    size: int | None = None
    overhead: int = 0

    @classmethod
    def of(cls, config: PruneConfig, original: Cost, file_bytes: int, overhead: int) -> "Budget":
        """Returns the budget of `config` in absolute figures, relative to the `original` model.

        Raises:
            UsageError: an amount cannot be read.
        """
        return cls(
            macs=_count("--macs", config.macs, original.macs, _COUNTS),
            params=_count("--params", config.params, original.params, _COUNTS),
            size=_count("--size", config.size, file_bytes, _BYTES),
            overhead=overhead,
        )

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return (self.macs, self.params, self.size) != (None, None, None)

    def tightened(self, by: int) -> "Budget":
        """Returns the budget with `by` bytes more of the file that are no weights."""
        return replace(self, overhead=self.overhead + by)

    def met_by(self, cost: Cost) -> bool:
        """Returns whether `cost` keeps within the budget."""
        return all(limit is None or is_ <= limit for _, limit, is_ in self._lines(cost))

    def excess(self, cost: Cost, original: Cost) -> list[str]:
        """Returns what was asked and is not met by `cost`, with what it is instead."""
        wholes = [whole for _, _, whole in self._lines(original)]
        return [
            f"{name} {limit:,} asked, {is_:,} ({is_ / whole:.0%} of the original) reachable"
            for (name, limit, is_), whole in zip(self._lines(cost), wholes, strict=True)
            if limit is not None and is_ > limit
        ]

    def _lines(self, cost: Cost) -> list[tuple[str, int | None, int]]:
        """Returns (name, limit, what it is) of everything that can be asked."""
        return [
            ("macs", self.macs, cost.macs),
            ("params", self.params, cost.params),
            ("size", self.size, cost.weight_bytes + self.overhead),
        ]


def limit_of(
    option: str, amount: float | str, original: float, units: Mapping[str, float]
) -> float:
    """Returns an amount such as 0.5, `500k` or `12ms` as an absolute limit.

    Without a unit, figures up to 1 are fractions of the `original`.

    Raises:
        UsageError: it is no positive figure with one of `units`.
    """
    match = _AMOUNT.fullmatch(str(amount))
    unit = match[2].lower() if match else ""
    fraction = match is not None and not unit and float(match[1]) <= 1
    value = float(match[1]) if match else 0.0
    limit = value * (original if fraction else units.get(unit, 0.0))
    if not fraction and not unit and 1 < limit < _SMALLEST_BROKEN and not limit.is_integer():
        raise UsageError(f"{option} {amount}: a fraction is at most 1, a figure whole or {amount}M")
    if limit <= 0 or not math.isfinite(limit):
        example = _EXAMPLES.get(option, "500k, 1.2G")
        raise UsageError(
            f"{option} {amount}: give a fraction that may remain, such as 0.5, or a figure such "
            f"as {example}"
        )
    return limit


def milliseconds(option: str, amount: float | str, original: float) -> float:
    """Returns a time such as 0.7 (of the `original`), `12ms` or `0.1s` in milliseconds.

    Raises:
        UsageError: it is no positive figure with us, ms or s.
    """
    return limit_of(option, amount, original, _MILLISECONDS)


def _count(
    option: str, amount: float | str | None, original: int, units: Mapping[str, float]
) -> int | None:
    """Returns a limit in whole figures."""
    return None if amount is None else int(limit_of(option, amount, original, units))
