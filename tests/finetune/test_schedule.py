"""How fast to learn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.schedule import Order, orders_of, rate_at


def test_ten_steps_by_hand() -> None:
    """Two steps rise to 2/3; then eight eighths of half a wave: cos(pi/4) = 0.70711."""
    rates = [rate_at(step, 10, 0.3, 0.2) for step in range(10)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[4] == pytest.approx(0.3 * 0.8535534)
    assert rates[6] == pytest.approx(0.15)
    assert rates[8] == pytest.approx(0.3 * 0.1464466)


def test_batches_are_gathered_into_steps_and_an_epoch_ends_one() -> None:
    """Five batches by two are three steps an epoch; the second of two epochs is steps 3 to 5."""
    config = TuneConfig(epochs=2, lr=0.4, warmup=0.0, accumulate=2)
    rates = [rate_at(step, 6, 0.4, 0.0) for step in (3, 3, 4, 4, 5)]
    ends = [False, True, False, True, True]
    assert list(orders_of(5, 1, config)) == [
        Order(rate, step) for rate, step in zip(rates, ends, strict=True)
    ]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 3))
def test_every_epoch_takes_as_many_steps(batches: int, accumulate: int, epochs: int) -> None:
    config = TuneConfig(epochs=epochs, accumulate=accumulate)
    for epoch in range(epochs):
        orders = list(orders_of(batches, epoch, config))
        assert len(orders) == batches
        assert orders[-1].step
        assert sum(order.step for order in orders) == -(-batches // accumulate)


@given(st.integers(1, 300), st.floats(0, 0.99), st.floats(1e-6, 10))
def test_it_rises_then_falls_and_is_never_above_the_top_nor_0(
    steps: int, warmup: float, top: float
) -> None:
    rates = [rate_at(step, steps, top, warmup) for step in range(steps)]
    assert all(0 < rate <= top for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert peak == min(round(warmup * steps), steps - 1)
