"""When to take a step, and how fast: a linear warm-up, then a cosine.

Of S steps, the first w = round(warmup S) rise and the others fall:

    rate(s) = top (s + 1) / (w + 1)                                 s < w
    rate(s) = top (1 + cos(pi (s - w) / (S - w))) / 2               else
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from onnxtrim.finetune.config import TuneConfig

__all__ = ["Order", "orders_of", "rate_at"]


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with a batch: the rate, and whether a step is taken after it."""

    rate: float
    step: bool


def orders_of(batches: int, epoch: int, config: TuneConfig) -> Iterator[Order]:
    """Yields what to do with each batch of an epoch, of so many; its last one ends a step."""
    size = config.accumulate
    steps = -(-batches // size)
    for place in range(batches):
        rate = rate_at(
            epoch * steps + place // size, steps * config.epochs, config.lr, config.warmup
        )
        yield Order(rate, step=place + 1 == batches or (place + 1) % size == 0)


def rate_at(step: int, steps: int, top: float, warmup: float) -> float:
    """Returns the learning rate of a step.

    Args:
        step: counted from 0.
        steps: how many there are.
        top: the highest rate.
        warmup: the share of the steps in which the rate rises, in [0, 1).
    """
    rising = round(warmup * steps)
    if step < rising:
        return top * (step + 1) / (rising + 1)
    return top * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2
