"""How fast to learn: a linear warm-up, then a cosine.

Of S steps, the first w = round(warmup S) rise and the others fall:

    rate(s) = top (s + 1) / (w + 1)                                 s < w
    rate(s) = top (1 + cos(pi (s - w) / (S - w))) / 2               else
"""

import math

__all__ = ["rate_at"]


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
