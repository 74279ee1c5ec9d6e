"""The options of fine-tuning, as frozen and validated data: one field = one flag."""

import math
from dataclasses import dataclass
from typing import Literal

from onnxtrim.config import DataConfig, DataOptions, check_types, divided
from onnxtrim.errors import UsageError

__all__ = ["BatchNorm", "Loss", "OptimizerName", "TuneConfig", "TuneOptions", "tune_configs"]

Loss = Literal["auto", "ce", "distill", "mse", "l1"]
OptimizerName = Literal["adamw", "sgd"]
BatchNorm = Literal["frozen"]


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """What is learned, and how fast.

    Attributes:
        epochs: How often all samples are seen.
        lr: The highest learning rate.
        loss: What is made small: `ce`, cross-entropy with the labels; to the teacher's outputs
            `distill`, `mse` or `l1`; `auto` takes ce for a classifier with labels, else distill.
        temperature: What the scores of a classifier are divided by in distillation.
        optimizer: The rule of a step; the runtime has sgd without momentum only.
        weight_decay: What adamw takes off weights in a step, as a share, times the rate; biases and
            norms are left alone.
        bn: How BatchNormalization is trained: `frozen`, as a fixed affine; its running mean and
            variance are measured anew before that, where this makes the loss less.
        warmup: Share of the steps in which the rate rises, from 0 to below 1; then it falls as a
            cosine.
        patience: Epochs without a better loss on held-out samples after which to stop.
        seed: Seed of the order of samples.
    """

    epochs: int = 3
    lr: float = 1e-3
    loss: Loss = "auto"
    temperature: float = 4.0
    optimizer: OptimizerName = "adamw"
    weight_decay: float = 0.01
    bn: BatchNorm = "frozen"
    warmup: float = 0.05
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        check_types(self)
        for option, count, least in (
            ("--epochs", self.epochs, 1),
            ("--patience", self.patience, 1),
            ("--seed", self.seed, 0),
        ):
            if count < least:
                raise UsageError(f"{option} {count}: {least} or more")
        for option, figure in (("--lr", self.lr), ("--temperature", self.temperature)):
            if not 0 < figure < math.inf:
                raise UsageError(f"{option} {figure}: a finite figure above 0")
        if not 0 <= self.weight_decay * self.lr < 1:
            raise UsageError(
                f"--weight-decay {self.weight_decay}: 0 or more, and below 1 divided by --lr"
            )
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup {self.warmup}: is a share of the steps, from 0 to below 1")


class TuneOptions(DataOptions, total=False):
    """Every field of `TuneConfig` and `DataConfig`, as keyword arguments of the Python API."""

    epochs: int
    lr: float
    loss: Loss
    temperature: float
    optimizer: OptimizerName
    weight_decay: float
    bn: BatchNorm
    warmup: float
    patience: int
    seed: int


def tune_configs(options: TuneOptions) -> tuple[TuneConfig, DataConfig]:
    """Returns keyword arguments as the two configurations that they belong to.

    Raises:
        UsageError: an option is unknown or out of range.
    """
    mine, rest = divided(options, TuneConfig, DataConfig)
    return TuneConfig(**mine), DataConfig(**rest)
