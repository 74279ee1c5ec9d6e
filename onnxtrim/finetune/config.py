"""The options of fine-tuning, as frozen and validated data: one field = one flag."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from onnxtrim.config import (
    DataConfig,
    DataOptions,
    PruneConfig,
    PruneOptions,
    check_types,
    divided,
)
from onnxtrim.errors import UsageError

__all__ = [
    "Augment",
    "BatchNorm",
    "LossName",
    "OptimizerName",
    "RecoveryOptions",
    "TuneConfig",
    "TuneOptions",
    "recovery_configs",
    "tune_configs",
]

LossName = Literal["auto", "ce", "distill", "ce+distill", "mse", "l1", "bce"]
OptimizerName = Literal["adamw", "sgd"]
Augment = Literal["auto", "none", "flip", "crop", "flip+crop"]
BatchNorm = Literal["auto", "frozen", "train"]


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """What is learned, and how fast.

    Attributes:
        epochs: How often all samples are seen.
        lr: The highest learning rate.
        loss: What is made small: `ce`, cross-entropy with the labels; to the teacher's outputs
            `distill`, `mse`, `l1` or `bce`, which takes labels where there is no teacher;
            `ce+distill`; `auto` takes ce for a classifier with labels, else distill. Or one of your
            own, FILE.py:NAME or module:NAME, an `onnxblock.Block` of the training runtime.
        temperature: What the scores of a classifier are divided by in distillation.
        distill_weight: Share of distill in ce+distill, between 0 and 1.
        output_weight: What an output counts for among several, as NAME=WEIGHT; 1 by default, and
            one of 0 is left out; repeatable.
        features: What the features at the channel groups count for, next to outputs of 1, when
            learning from a teacher; 0 leaves them out.
        slim: What the sizes of all scales of BatchNormalization, summed up, count for in the loss
            (Network Slimming), such as 1e-4; with it the last weights are taken, not the best.
        optimizer: The rule of a step.
        momentum: Of sgd, from 0 to below 1.
        weight_decay: What adamw takes off weights in a step, as a share, times the rate; biases and
            norms are left alone.
        clip: The largest norm of all gradients of a step together; 0 leaves them as they are.
        accumulate: Batches a step: their gradients are added up.
        bn: How BatchNormalization is trained: `frozen`, as a fixed affine, or `train`, by mean and
            variance of each batch; `auto` is train in batches of 32 or more. Both are measured anew
            before and after training, and kept where this makes the loss less.
        keep_zeros: Whether weights that are 0 stay 0; biases and norms are free.
        augment: How images are changed before they are learned from: `crop`, shifted by up to an
            eighth of each side with the border reflected, or `flip`, half of them mirrored; `auto`
            is crop for image files and a classifier, else none.
        warmup: Share of the steps in which the rate rises, from 0 to below 1; then it falls as a
            cosine.
        patience: Epochs without a better loss on held-out samples after which to stop.
        seed: Seed of the order of samples, and of how images are changed.
        keep_artifacts: A new folder for the training, eval and optimizer models and a checkpoint of
            the best weights, with which ONNX Runtime goes on with training on a device.
    """

    epochs: int = 3
    lr: float = 1e-3
    loss: str = "auto"
    temperature: float = 4.0
    distill_weight: float = 0.5
    output_weight: tuple[str, ...] = ()
    features: float = 0.0
    slim: float = 0.0
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.01
    clip: float = 0.0
    accumulate: int = 1
    bn: BatchNorm = "auto"
    keep_zeros: bool = False
    augment: Augment = "auto"
    warmup: float = 0.05
    patience: int = 3
    seed: int = 0
    keep_artifacts: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        check_types(self)
        for option, count, least in (
            ("--epochs", self.epochs, 1),
            ("--patience", self.patience, 1),
            ("--accumulate", self.accumulate, 1),
            ("--seed", self.seed, 0),
        ):
            if count < least:
                raise UsageError(f"{option} {count}: {least} or more")
        for option, figure in (("--lr", self.lr), ("--temperature", self.temperature)):
            if not 0 < figure < math.inf:
                raise UsageError(f"{option} {figure}: a finite figure above 0")
        loose = (("--clip", self.clip), ("--features", self.features), ("--slim", self.slim))
        for option, figure in loose:
            if not 0 <= figure < math.inf:
                raise UsageError(f"{option} {figure}: a finite figure of 0 or more")
        mild = self.weight_decay * self.lr < 1 or self.optimizer != "adamw"
        if not (mild and 0 <= self.weight_decay < math.inf):
            raise UsageError(
                f"--weight-decay {self.weight_decay}: 0 or more, and below 1 divided by --lr, "
                f"which is {self.lr:g}"
            )
        if not 0 <= self.momentum < 1:
            raise UsageError(f"--momentum {self.momentum}: is from 0 to below 1")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup {self.warmup}: is a share of the steps, from 0 to below 1")
        if not 0 < self.distill_weight < 1:
            raise UsageError(f"--distill-weight {self.distill_weight}: is between 0 and 1")
        _check_loss(self.loss)
        _ = self.output_weights

    @property
    def output_weights(self) -> dict[str, float]:
        """Returns what outputs count for, by name; those that are not in it count 1.

        Raises:
            UsageError: an option is not NAME=WEIGHT, or names an output again.
        """
        found: dict[str, float] = {}
        for text in self.output_weight:
            name, _, figure = text.rpartition("=")
            try:
                weight = float(figure)
            except ValueError:
                weight = math.nan
            if not name or not 0 <= weight < math.inf:
                raise UsageError(
                    f"--output-weight {text}: give NAME=WEIGHT, a finite figure of 0 or more"
                )
            if name in found:
                raise UsageError(f"--output-weight {text}: {name} has a weight already")
            found[name] = weight
        return found


def _check_loss(loss: str) -> None:
    """Raises UsageError for what is neither a loss nor the name of one's own."""
    names = get_args(LossName)
    source, _, name = loss.rpartition(":")
    if loss not in names and not (source and name):
        raise UsageError(f"--loss {loss}: give one of {', '.join(names)}, or FILE.py:NAME")


class TuneOptions(DataOptions, total=False):
    """Every field of `TuneConfig` and `DataConfig`, as keyword arguments of the Python API."""

    epochs: int
    lr: float
    loss: str
    temperature: float
    distill_weight: float
    output_weight: tuple[str, ...]
    features: float
    slim: float
    optimizer: OptimizerName
    momentum: float
    weight_decay: float
    clip: float
    accumulate: int
    bn: BatchNorm
    keep_zeros: bool
    augment: Augment
    warmup: float
    patience: int
    seed: int
    keep_artifacts: str | None


def tune_configs(options: TuneOptions) -> tuple[TuneConfig, DataConfig]:
    """Returns keyword arguments as the two configurations that they belong to.

    Raises:
        UsageError: an option is unknown or out of range.
    """
    mine, rest = divided(options, TuneConfig, DataConfig)
    return TuneConfig(**mine), DataConfig(**rest)


class RecoveryOptions(PruneOptions, TuneOptions, total=False):
    """Every field of `PruneConfig`, `TuneConfig` and `DataConfig`."""


def recovery_configs(
    options: RecoveryOptions,
) -> tuple[PruneConfig, TuneConfig | None, DataConfig]:
    """Returns keyword arguments as the configurations that they belong to; `seed` is of two.

    There is none of fine-tuning where this is not asked for.

    Raises:
        UsageError: an option is unknown or out of range, or there is nothing to tune by it.
    """
    mine, lessons, rest = divided(options, PruneConfig, TuneConfig, DataConfig)
    config, reading = PruneConfig(**mine), DataConfig(**rest)
    if config.finetune:
        return config, TuneConfig(**lessons), reading
    for field in fields(TuneConfig):
        value = lessons.get(field.name, field.default)
        if field.name not in mine and value != field.default:
            option = field.name.replace("_", "-")
            raise UsageError(f"--{option} {value}: is of fine-tuning; give --finetune, too")
    return config, None, reading
