"""How fast to learn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.finetune.schedule import rate_at


def test_ten_steps_by_hand() -> None:
    """Two steps rise to 2/3; then eight eighths of half a wave: cos(pi/4) = 0.70711."""
    rates = [rate_at(step, 10, 0.3, 0.2) for step in range(10)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[4] == pytest.approx(0.3 * 0.8535534)
    assert rates[6] == pytest.approx(0.15)
    assert rates[8] == pytest.approx(0.3 * 0.1464466)


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
