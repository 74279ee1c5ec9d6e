"""The rules of a step, in place.

With a gradient g, the rate r, the step t and m, v and w from the one before:

    AdamW (Loshchilov & Hutter, 1711.05101)     m = b1 m + (1 - b1) g
                                                v = b2 v + (1 - b2) g^2
                                                a = r sqrt(1 - b2^t) / (1 - b1^t)
                                                w = (w - a m / (sqrt(v) + eps)) (1 - r decay)
    gradient descent with momentum              m = momentum m + g
                                                w = w - r m

Biases and norms, which have one axis, do not decay. Constants are those of the optimizer of ONNX
Runtime training, whose models know neither groups of parameters nor momentum.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["OPTIMIZERS", "AdamW", "Descent", "clipped"]

_B1, _B2, _EPSILON = 0.9, 0.999, 1e-6

Arrays = Mapping[str, Any]


@dataclass
class AdamW:
    """AdamW, with what it remembers of each weight."""

    decay: float = 0.0
    momentum: float = 0.0
    steps: int = 0
    moments: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __call__(self, weights: Arrays, gradients: Arrays, rate: float) -> None:
        """Changes the weights in place."""
        self.steps += 1
        scale = rate * math.sqrt(1 - _B2**self.steps) / (1 - _B1**self.steps)
        for name, g in gradients.items():
            w = weights[name]
            if name not in self.moments:
                self.moments[name] = (np.zeros_like(w), np.zeros_like(w))
            m, v = self.moments[name]
            m *= np.float32(_B1)
            m += np.float32(1 - _B1) * g
            v *= np.float32(_B2)
            v += np.float32(1 - _B2) * np.square(g)
            off = np.sqrt(v, out=np.empty_like(v))
            off += np.float32(_EPSILON)
            np.divide(m, off, out=off)
            off *= np.float32(scale)
            w -= off
            if self.decay and w.ndim > 1:
                w *= np.float32(1 - rate * self.decay)


@dataclass
class Descent:
    """Gradient descent, with what it remembers of each weight."""

    decay: float = 0.0
    momentum: float = 0.0
    moments: dict[str, Any] = field(default_factory=dict)

    def __call__(self, weights: Arrays, gradients: Arrays, rate: float) -> None:
        """Changes the weights in place."""
        for name, g in gradients.items():
            moment = g
            if self.momentum:
                moment = self.moments.setdefault(name, np.zeros_like(g))
                moment *= np.float32(self.momentum)
                moment += g
            weights[name][...] -= np.float32(rate) * moment


OPTIMIZERS: dict[str, Callable[..., AdamW | Descent]] = {"adamw": AdamW, "sgd": Descent}


def clipped(gradients: Arrays, limit: float) -> Arrays:
    """Returns gradients whose norm all together is at most `limit`; 0 leaves them as they are."""
    if not limit:
        return gradients
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    if norm <= limit:
        return gradients
    return {name: g * np.float32(limit / norm) for name, g in gradients.items()}
