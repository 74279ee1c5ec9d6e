"""How many shares of a batch the worker computes at once, a thread each.

A gradient of the training runtime keeps one core busy whatever it is given, so that shares are what
uses the others. They must be equal, and their mean must be what the whole batch gives:

- samples lie on the first axis of all inputs and targets, and a batch may be of any size;
- the loss is a mean over samples. One's own, and features, are taken as they come;
- normalisations by the statistics of a batch have as many samples as these need.

Artifacts that are kept are of whole batches.
"""

import os
from collections.abc import Sequence

import onnx_ir as ir

from onnxtrim.calibration.data.dataset import InputSpec, batched
from onnxtrim.calibration.data.feeding import fixed_batch
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.goals import Aim
from onnxtrim.finetune.losses import Goal
from onnxtrim.finetune.twin.parameters import statistics_of

__all__ = ["goes_by_batches", "lanes_of"]

LIVE_BATCH = 32
"""Samples a batch from which on its own mean and variance are good enough to normalise by."""

_LEAST_SHARE = 8
"""Samples below which a share is too little work for a thread."""


def goes_by_batches(config: TuneConfig, size: int) -> bool:
    """Returns whether normalisations go by the mean and variance of batches of a size."""
    return config.bn == "train" or (config.bn == "auto" and size >= LIVE_BATCH)


def lanes_of(
    student: ir.Model,
    specs: Sequence[InputSpec],
    aim: Aim,
    config: TuneConfig,
    size: int,
    threads: int,
) -> int:
    """Returns how many equal shares of a batch of `size` samples are computed at once.

    Args:
        student: a normalised model.
        specs: its inputs.
        aim: what is learned.
        config: how.
        size: samples a batch.
        threads: of the runtime; 0 takes all there are.
    """
    plain = all(isinstance(goal, Goal) for goal in aim.goals) and not config.features
    divisible = batched(specs) and fixed_batch(list(specs)) is None
    if not (plain and divisible and config.keep_artifacts is None):
        return 1
    live = goes_by_batches(config, size) and statistics_of(student)
    least = LIVE_BATCH if live else _LEAST_SHARE
    counts = range(1, (threads or os.cpu_count() or 1) + 1)
    return max(n for n in counts if n == 1 or (size % n == 0 and size // n >= least))
