"""Budgets: what may remain, as a fraction of the original or as an absolute figure."""

import math
import re
from dataclasses import dataclass

from onnxtrim.config import PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.selection.cost import Cost

__all__ = ["Budget", "parse_amount"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SMALLEST_BROKEN = 1000
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([kmgt]?)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most MACs and parameters that may remain; None where nothing was asked."""

    macs: int | None
    params: int | None

    @classmethod
    def of(cls, config: PruneConfig, original: Cost) -> "Budget":
        """Returns the budget of `config` in absolute figures, relative to the `original` model.

        Raises:
            UsageError: an amount cannot be read.
        """
        return cls(
            macs=_limit("--macs", config.macs, original.macs),
            params=_limit("--params", config.params, original.params),
        )

    def met_by(self, cost: Cost) -> bool:
        """Returns whether `cost` keeps within the budget."""
        macs = self.macs is None or cost.macs <= self.macs
        return macs and (self.params is None or cost.params <= self.params)


def parse_amount(option: str, amount: float | str) -> float:
    """Returns an amount such as 0.5, `500k` or `1.2G` as a figure.

    Raises:
        UsageError: it is no positive figure with an optional k, M, G or T.
    """
    match = _AMOUNT.fullmatch(str(amount))
    value = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if match and not match[2] and 1 < value < _SMALLEST_BROKEN and not value.is_integer():
        raise UsageError(f"{option} {amount}: a fraction is at most 1, a figure whole or {amount}M")
    if value <= 0 or not math.isfinite(value):
        raise UsageError(
            f"{option} {amount}: give a fraction that may remain, such as 0.5, or a figure such "
            "as 500k, 1.2G"
        )
    return value


def _limit(option: str, amount: float | str | None, original: int) -> int | None:
    """Returns the absolute limit: amounts up to 1 are fractions of the original."""
    if amount is None:
        return None
    value = parse_amount(option, amount)
    return int(value * original) if value <= 1 else int(value)
