"""One step of training."""

import numpy as np
import pytest

from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.runtime.process import answer_of


def adamw_losses() -> tuple[float, float]:
    """Returns the losses of the line before and after one step of AdamW, in numpy.

    https://arxiv.org/abs/1711.05101, algorithm 2, with the usual betas and epsilon; weight decay
    acts on zeros.
    """
    x, target = np.eye(2), np.array([1.0, 2.0])
    design = np.column_stack([x, np.ones(2)])
    parameters = np.zeros(3)

    def loss() -> float:
        return float(np.mean((design @ parameters - target) ** 2))

    before = loss()
    gradient = 2 / 2 * design.T @ (design @ parameters - target)
    mean, square = 0.1 * gradient / (1 - 0.9), 0.001 * gradient**2 / (1 - 0.999)
    parameters -= 0.1 * mean / (np.sqrt(square) + 1e-8)
    return before, loss()


def test_the_step_is_that_of_adamw(runtime: TrainingRuntime) -> None:
    answer = answer_of(runtime.python, "self_check", runtime.environment())
    before, after = adamw_losses()
    assert (before, after) == pytest.approx((2.5, 1.94), abs=1e-6)
    assert answer["version"] == runtime.version
    assert answer["before"] == before
    assert answer["after"] == pytest.approx(after, abs=2e-5)
