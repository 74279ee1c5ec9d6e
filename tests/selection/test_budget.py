"""Amounts as people write them, and what they allow."""

import pytest

from onnxtrim.config import PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.selection import Budget, Cost
from onnxtrim.selection.budget import parse_amount

WHOLE = Cost(macs=2_000_000, params=1_001, weight_bytes=4_004)


@pytest.mark.parametrize(
    ("amount", "limit"),
    [
        (0.5, 1_000_000),
        ("0.5", 1_000_000),
        (".5", 1_000_000),
        (" 0.25 ", 500_000),
        (1, 2_000_000),
        (1.0, 2_000_000),
        ("1", 2_000_000),
        (1e-6, 2),
        ("5e-1", 1_000_000),
        ("500k", 500_000),
        ("500K", 500_000),
        ("500 k", 500_000),
        ("1.2G", 1_200_000_000),
        ("1.2g", 1_200_000_000),
        ("2M", 2_000_000),
        ("2m", 2_000_000),
        ("3T", 3_000_000_000_000),
        ("1e6", 1_000_000),
        (750_000, 750_000),
        (750_000.9, 750_000),
        ("2", 2),
        ("0.002k", 2),
    ],
)
def test_amounts(amount: float | str, limit: int) -> None:
    assert Budget.of(PruneConfig(macs=amount), WHOLE).macs == limit


@pytest.mark.parametrize(
    "amount",
    ["", "half", "50%", "1.2GB", "8MB", "k", "1,000", "1k2", "0x10", "nan", "inf", "--", "1 2",
     "1..2", 0, 0.0, "0", "0k", -0.5, "-0.5", "-500k", -3, float("nan"), float("inf"), True,
     "1e400", "1e308T"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["--macs", "--params"])
def test_garbage_and_nothing_are_refused(option: str, amount: float | str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_amount(option, amount)
    message = str(caught.value)
    assert message.startswith(f"{option} {amount}: ")
    assert "such as 0.5" in message
    assert "500k" in message
    assert "\n" not in message


@pytest.mark.parametrize("amount", [1.5, "1.5", "1.0001", 2.5, 999.5, "999.999"])
@pytest.mark.parametrize("option", ["--macs", "--params"])
def test_between_a_fraction_and_a_figure_there_is_nothing(option: str, amount: float | str) -> None:
    """`--macs 1.5` is no fraction, and nobody wants one multiply-accumulate and a half."""
    with pytest.raises(UsageError) as caught:
        parse_amount(option, amount)
    assert str(caught.value) == (
        f"{option} {amount}: a fraction is at most 1, a figure whole or {amount}M"
    )


def test_fractions_are_of_the_original_and_never_rounded_up() -> None:
    found = Budget.of(PruneConfig(macs=0.3333, params=0.5), WHOLE)
    assert (found.macs, found.params) == (666_600, 500)


def test_a_suffix_makes_an_absolute_figure() -> None:
    """`0.5k` is 500, not half of the model."""
    assert Budget.of(PruneConfig(params="0.5k"), WHOLE).params == 500


def test_what_was_not_asked_is_no_limit() -> None:
    found = Budget.of(PruneConfig(ratio=0.5), WHOLE)
    assert (found.macs, found.params) == (None, None)
    assert found.met_by(WHOLE)


@pytest.mark.parametrize(
    ("macs", "params", "met"),
    [(100, 50, True), (101, 50, False), (100, 51, False), (0, 0, True), (101, 51, False)],
)
def test_a_budget_holds_up_to_and_with_the_figure(macs: int, params: int, met: bool) -> None:
    assert Budget(macs=100, params=50).met_by(Cost(macs, params, 0)) is met


def test_each_limit_stands_alone() -> None:
    assert Budget(macs=None, params=50).met_by(Cost(10**9, 50, 0))
    assert Budget(macs=100, params=None).met_by(Cost(100, 10**9, 0))
