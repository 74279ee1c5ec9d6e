"""Amounts as people write them, and what they allow."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.config import PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.selection import Budget, Cost, milliseconds

WHOLE = Cost(macs=2_000_000, params=1_001, weight_bytes=4_004)
FILE, OVERHEAD = 5_000, 996


def budget(**options: Any) -> Budget:  # noqa: ANN401 - options are of many types
    return Budget.of(PruneConfig(**options), WHOLE, FILE, OVERHEAD)


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
def test_counts(amount: float | str, limit: int) -> None:
    assert budget(macs=amount).macs == limit


@pytest.mark.parametrize(
    ("amount", "limit"),
    [
        (0.5, 2_500),
        ("0.5", 2_500),
        (1, 5_000),
        ("2", 2),
        (4_000, 4_000),
        ("4000", 4_000),
        ("4000B", 4_000),
        ("4000 b", 4_000),
        ("0.5kB", 500),
        ("8KB", 8_000),
        ("8k", 8_000),
        ("8MB", 8_000_000),
        ("8M", 8_000_000),
        ("1.5GB", 1_500_000_000),
        ("2TB", 2_000_000_000_000),
        ("1KiB", 1_024),
        ("1.5kib", 1_536),
        ("8MiB", 8 * 1024 * 1024),
        ("1GiB", 1024**3),
        ("1TiB", 1024**4),
    ],
)
def test_sizes(amount: float | str, limit: int) -> None:
    assert budget(size=amount).size == limit


@pytest.mark.parametrize(
    ("amount", "limit"),
    [
        (0.5, 4.0),
        ("0.5", 4.0),
        (1, 8.0),
        ("12ms", 12.0),
        ("12 MS", 12.0),
        ("1.5ms", 1.5),
        ("0.25ms", 0.25),
        ("0.5s", 500.0),
        ("2s", 2_000.0),
        ("250us", 0.25),
        ("2e3us", 2.0),
    ],
)
def test_times(amount: float | str, limit: float) -> None:
    assert milliseconds("--latency", amount, original=8.0) == pytest.approx(limit, rel=1e-12)


GARBAGE: list[float | str] = [
    "", "half", "50%", "k", "1,000", "1k2", "0x10", "nan", "inf", "--", "1 2", "1..2", 0, 0.0, "0",
    "0k", -0.5, "-0.5", "-500k", -3, float("nan"), float("inf"), "1e400", "1e308T", "1e-400", "8QB",
]  # fmt: skip


@pytest.mark.parametrize("amount", GARBAGE)
@pytest.mark.parametrize("option", ["macs", "params", "size"])
def test_garbage_and_nothing_are_refused(option: str, amount: float | str) -> None:
    with pytest.raises(UsageError) as caught:
        budget(**{option: amount})
    example = "8MB" if option == "size" else "500k, 1.2G"
    assert str(caught.value) == (
        f"--{option} {amount}: give a fraction that may remain, such as 0.5, or a figure such as "
        f"{example}"
    )


@pytest.mark.parametrize(
    ("option", "amount"),
    [("macs", "8MB"), ("params", "8KiB"), ("macs", "12ms"), ("size", "12ms"), ("size", "8Mi")],
)
def test_a_unit_of_something_else_is_refused(option: str, amount: str) -> None:
    with pytest.raises(UsageError, match=rf"^--{option} {amount}: give a fraction"):
        budget(**{option: amount})


@pytest.mark.parametrize("amount", [*GARBAGE, 2, "2", 12.0, "12M", "8MB", "1.5", "12min"])
def test_a_time_takes_a_fraction_or_a_unit(amount: float | str) -> None:
    """Twelve of what? Milliseconds and seconds are both likely."""
    with pytest.raises(UsageError) as caught:
        milliseconds("--latency", amount, original=8.0)
    message = str(caught.value)
    assert message.startswith(f"--latency {amount}: give a fraction that may remain")
    assert message.endswith("such as 12ms")


@pytest.mark.parametrize("amount", [1.5, "1.5", "1.0001", 2.5, 999.5, "999.999"])
@pytest.mark.parametrize("option", ["macs", "params", "size"])
def test_between_a_fraction_and_a_figure_there_is_nothing(option: str, amount: float | str) -> None:
    """`--macs 1.5` is no fraction, and nobody wants one multiply-accumulate and a half."""
    with pytest.raises(UsageError) as caught:
        budget(**{option: amount})
    assert str(caught.value) == (
        f"--{option} {amount}: a fraction is at most 1, a figure whole or {amount}M"
    )


def test_fractions_are_of_the_original_and_never_rounded_up() -> None:
    found = budget(macs=0.3333, params=0.5, size=0.9999)
    assert (found.macs, found.params, found.size) == (666_600, 500, 4_999)


def test_a_suffix_makes_an_absolute_figure() -> None:
    """`0.5k` is 500, not half of the model."""
    assert budget(params="0.5k").params == 500


def test_what_was_not_asked_is_no_limit() -> None:
    found = budget(ratio=0.5, latency=0.5, max_drop=0.01)
    assert (found.macs, found.params, found.size) == (None, None, None)
    assert not found.asks
    assert found.met_by(WHOLE)


@pytest.mark.parametrize("option", ["macs", "params", "size"])
def test_one_limit_is_enough_to_ask(option: str) -> None:
    assert budget(**{option: 0.5}).asks


@pytest.mark.parametrize(
    ("macs", "params", "size", "met"),
    [
        (100, 50, 70, True),
        (101, 50, 70, False),
        (100, 51, 70, False),
        (100, 50, 71, False),
        (0, 0, 0, True),
        (101, 51, 71, False),
    ],
)
def test_a_budget_holds_up_to_and_with_the_figure(
    macs: int, params: int, size: int, met: bool
) -> None:
    """A file of 100 bytes, 30 of which are no weights."""
    found = Budget(macs=100, params=50, size=100, overhead=30)
    assert found.met_by(Cost(macs, params, size)) is met


def test_each_limit_stands_alone() -> None:
    assert Budget(params=50).met_by(Cost(10**9, 50, 10**9))
    assert Budget(macs=100).met_by(Cost(100, 10**9, 10**9))
    assert Budget(size=100, overhead=1).met_by(Cost(10**9, 10**9, 99))


def test_a_tightened_budget_leaves_less_room_for_weights() -> None:
    found = Budget(macs=9, size=100, overhead=30).tightened(5)
    assert found == Budget(macs=9, size=100, overhead=35)
    assert found.met_by(Cost(9, 0, 65))
    assert not found.met_by(Cost(9, 0, 66))


def test_what_exceeds_is_named_with_its_share_of_the_original() -> None:
    found = Budget(macs=100, params=500, size=3_000, overhead=OVERHEAD)
    cost = Cost(macs=500_000, params=500, weight_bytes=2_505)
    assert found.excess(cost, WHOLE) == [
        "macs 100 asked, 500,000 (25% of the original) reachable",
        "size 3,000 asked, 3,501 (70% of the original) reachable",
    ]
    assert found.excess(Cost(100, 500, 2_004), WHOLE) == []


@given(
    st.tuples(*[st.none() | st.integers(0, 100)] * 3),
    st.integers(0, 20),
    st.builds(Cost, *[st.integers(0, 120)] * 3),
)
def test_it_is_met_where_nothing_exceeds(
    limits: tuple[int | None, int | None, int | None], overhead: int, cost: Cost
) -> None:
    found = Budget(*limits, overhead=overhead)
    assert found.met_by(cost) == (found.excess(cost, Cost(200, 200, 200)) == [])
