"""The options of the loop, as frozen and validated data: one field = one flag = one TOML key."""

from dataclasses import dataclass, fields
from typing import Literal

from onnxtrim.config import DataConfig, PruneConfig, check_types, divided
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import RecoveryOptions, TuneConfig, recovery_configs

__all__ = ["LoopConfig", "Order", "RunConfig", "RunOptions", "run_config"]

Order = Literal["together", "in-turn", "spreading"]

_PACED = ("--macs", "--params", "--size", "--ratio")
"""Budgets that the way to can be divided evenly."""


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """In which steps the budget is reached.

    Each step measures what is left, scores, cuts, compensates, tunes and judges. Widths, budgets
    and the metric are relative to the original throughout.

    Attributes:
        steps: Steps at most.
        per_step: Share that a step removes of the channels that are left; with --order in-turn, of
            the width that the group had. Without it, steps divide the way to the budget evenly.
        order: What a step cuts: `together`, all groups; `in-turn`, one group after the other from
            input to output, each until its ratio is gone; `spreading`, first the groups with the
            lowest mean score, with each step also those next to them.
        start: Groups that `spreading` begins with.
        slim_epochs: Epochs of training with --slim before the first step.
    """

    steps: int = 1
    per_step: float | None = None
    order: Order = "together"
    start: int = 2
    slim_epochs: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        check_types(self)
        for option, count, least in (
            ("--steps", self.steps, 1),
            ("--start", self.start, 1),
            ("--slim-epochs", self.slim_epochs, 0),
        ):
            if count < least:
                raise UsageError(f"{option} {count}: {least} or more")
        if self.per_step is not None and not 0 < self.per_step < 1:
            raise UsageError(f"--per-step {self.per_step}: is a share between 0 and 1")

    @property
    def loops(self) -> bool:
        """Returns whether there is more to do than one step."""
        return self.steps > 1 or self.slim_epochs > 0


class RunOptions(RecoveryOptions, total=False):
    """Every field of `LoopConfig` too."""

    steps: int
    per_step: float | None
    order: Order
    start: int
    slim_epochs: int


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All options of a run, checked for what makes no sense together.

    Attributes:
        pruning: what to remove.
        tuning: what to learn after each step; None for nothing.
        reading: how data are read and run.
        loop: in which steps.
    """

    pruning: PruneConfig
    tuning: TuneConfig | None
    reading: DataConfig
    loop: LoopConfig

    def __post_init__(self) -> None:
        """Raises UsageError where options contradict each other."""
        pruning, loop = self.pruning, self.loop
        if not loop.loops:
            _check_alone(loop)
            pruning.check_rule()
            return
        for option, asked in (
            ("--lossless", pruning.lossless),
            ("--pattern", pruning.pattern is not None),
        ):
            if asked:
                raise UsageError(f"{option} takes one step; leave --steps and --slim-epochs out")
        if pruning.weights is not None:
            _check_weights(loop)
            return
        if pruning.below_std is not None and loop.per_step is not None:
            raise UsageError(
                f"--below-std {pruning.below_std} and --per-step {loop.per_step} both say what a "
                "step removes; leave one of them out"
            )
        if loop.order == "in-turn":
            _check_in_turn(pruning, loop)
        elif loop.order == "spreading" and pruning.below_std is None:
            raise UsageError("--order spreading goes by a rule for each group; give --below-std")
        elif loop.steps > 1 and not (
            loop.per_step or pruning.below_std or pruning.budgets.keys() & set(_PACED)
        ):
            raise UsageError(
                f"--steps {loop.steps}: say how far each goes, by --per-step or --below-std, or "
                f"where they lead, by {', '.join(_PACED)}"
            )
        if self.tuning is not None and self.tuning.keep_artifacts is not None:
            raise UsageError(
                "--keep-artifacts is of one tuning; leave it out, and tune the result with finetune"
            )
        self._check_slimming()

    def _check_slimming(self) -> None:
        """Raises UsageError where there would be training without anything to train by."""
        if self.loop.slim_epochs and (self.tuning is None or not self.tuning.slim):
            raise UsageError(
                f"--slim-epochs {self.loop.slim_epochs}: trains with --slim; give --finetune and "
                "--slim, such as 1e-4"
            )


def _given(loop: LoopConfig, *names: str) -> list[str]:
    """Returns the options among these that are not at their default, with their values."""
    defaults = {field.name: field.default for field in fields(LoopConfig)}
    return [
        f"--{name.replace('_', '-')} {getattr(loop, name)}"
        for name in names
        if getattr(loop, name) != defaults[name]
    ]


def _check_alone(loop: LoopConfig) -> None:
    """Raises UsageError where an option of several steps is given for one."""
    for asked in _given(loop, "per_step", "order", "start"):
        raise UsageError(f"{asked}: is of several; give --steps, too")


def _check_weights(loop: LoopConfig) -> None:
    """Raises UsageError where single weights are to go in other steps than even ones."""
    for asked in _given(loop, "per_step", "order", "start", "slim_epochs"):
        raise UsageError(f"{asked}: is of channels; the steps of --weights are even")


def _check_in_turn(pruning: PruneConfig, loop: LoopConfig) -> None:
    """Raises UsageError where groups are to go in turn, and it is not said how far."""
    if loop.per_step is None or pruning.ratio is None:
        raise UsageError(
            "--order in-turn takes --per-step, what goes of a group at a time, and --ratio, what "
            "goes of each in the end"
        )
    for option, value in pruning.budgets.items():
        if option not in ("--ratio", "--max-drop"):
            raise UsageError(
                f"--order in-turn ends with --ratio of each group; leave {option} {value} out"
            )
    if pruning.below_std is not None:
        raise UsageError("--order in-turn and --below-std contradict each other; leave one out")


def run_config(options: RunOptions) -> RunConfig:
    """Returns keyword arguments as the configurations that they belong to.

    Raises:
        UsageError: an option is unknown or out of range, or two contradict each other.
    """
    mine, *_ = divided(options, LoopConfig, PruneConfig, TuneConfig, DataConfig)
    rest = {name: value for name, value in options.items() if name not in mine}
    return RunConfig(*recovery_configs(rest), LoopConfig(**mine))  # type: ignore[arg-type]
