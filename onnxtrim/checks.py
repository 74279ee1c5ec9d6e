"""What must hold before the work begins: options that fit the data, the model and each other."""

from onnxtrim.channels import ChannelMap, Code
from onnxtrim.config import DEFAULT_DROP, PruneConfig
from onnxtrim.criteria import CRITERIA, Criterion, Needs
from onnxtrim.errors import BudgetError, ModelError, UsageError
from onnxtrim.subject import Subject

__all__ = [
    "require_curves",
    "require_data",
    "require_groups",
    "require_lessons",
    "require_provable",
    "restricted",
]

_MEASURED = Needs.ACTIVATIONS | Needs.INPUTS
_OLDEST_OPSET = 7
"""Before it operators did not broadcast from the right, and the runtime has few of them left."""


def require_data(config: PruneConfig) -> None:
    """Raises UsageError where an option takes data; to be called where there are none."""
    if config.sparse:
        return
    if not config.asks:
        raise UsageError(
            "no budget: give --macs, --params, --size, --latency or --ratio, such as --macs 0.5; "
            f"or --data, for as thin as a drop of {DEFAULT_DROP} allows"
        )
    for option, asked in (
        ("--criterion auto", config.criterion == "auto"),
        (f"--allocate {config.allocate}", config.allocate in ("error", "sensitivity")),
        (f"--compensate {config.compensate}", config.compensate in ("mean", "linear")),
        ("--lossless", config.lossless),
        ("--max-drop", config.max_drop is not None),
    ):
        if asked:
            raise UsageError(f"{option} runs the model on samples; give --data")
    if config.criterion != "auto" and CRITERIA[config.criterion].needs & _MEASURED:
        raise UsageError(f"--criterion {config.criterion} measures activations; give --data")


def require_lessons(config: PruneConfig, *, data: bool, train_data: bool) -> None:
    """Raises UsageError where tuning has no samples, or samples are there and no tuning.

    Args:
        config: what is asked for.
        data: whether there are calibration data.
        train_data: whether there are samples to learn from.
    """
    if config.finetune and not (data or train_data):
        raise UsageError("--finetune learns from samples; give --train-data, or --data")
    if train_data and not config.finetune:
        raise UsageError("--train-data is what is learned from; give --finetune, too")


def require_curves(config: PruneConfig, points: int) -> Criterion:
    """Returns the criterion by which units go, for curves of sensitivity.

    Raises:
        UsageError: none is named, or there are to be no points.
    """
    if points < 1:
        raise UsageError(f"--points {points}: at least 1 is needed")
    if config.criterion == "auto":
        raise UsageError("--criterion auto compares plans for a budget; name a criterion here")
    return CRITERIA[config.criterion]


def require_provable(subject: Subject) -> None:
    """Raises ModelError where the runtime has no operators to prove a result with."""
    version = subject.model.opset_imports.get("", _OLDEST_OPSET)
    if version < _OLDEST_OPSET:
        raise ModelError(
            f"{subject.facts.name}: operator set {version} is older than {_OLDEST_OPSET}; convert "
            "the model by onnx.version_converter first"
        )


def require_groups(channel_map: ChannelMap) -> None:
    """Raises BudgetError where nothing can be cut at all."""
    if channel_map.groups:
        return
    reasons = [group.reason for group in channel_map.frozen_groups if group.reason is not None]
    reasons = [*reasons, *channel_map.barriers]
    # That outputs stay is true of every model; what else is in the way says more.
    reasons.sort(key=lambda reason: (reason.code is Code.GRAPH_OUTPUT, reason.rank))
    why = f"{reasons[0]}, ..." if reasons else "no weight makes channels"
    raise BudgetError(f"nothing can be cut: {why}; inspect gives every reason")


def restricted(channel_map: ChannelMap, config: PruneConfig) -> ChannelMap:
    """Returns the map with the groups frozen that the globs keep whole.

    Raises:
        UsageError: a glob matches nothing, so that it protects or chooses nothing.
    """
    for option, globs in (("--include", config.include), ("--exclude", config.exclude)):
        for glob in globs:
            if not channel_map.matches(glob):
                raise UsageError(
                    f"{option} {glob}: matches no group; inspect lists their names and tensors"
                )
    return channel_map.restricted(config.include, config.exclude)
