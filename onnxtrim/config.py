"""The options, as frozen and validated data: one field = one flag = one TOML key."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from onnxtrim.errors import UsageError

__all__ = [
    "Color",
    "CriterionName",
    "DataConfig",
    "DataOptions",
    "Layout",
    "Normalization",
    "PruneConfig",
    "PruneOptions",
    "Scope",
    "data_config",
    "prune_configs",
]

Layout = Literal["auto", "nchw", "nhwc"]
Color = Literal["auto", "rgb", "bgr", "gray"]
Scope = Literal["global", "layer"]
Normalization = Literal["layer-mean", "max", "none"]
CriterionName = Literal["apoz", "mean", "l1", "l2", "random"]


@dataclass(frozen=True, slots=True)
class DataConfig:
    """How inputs are read, prepared and run.

    A pixel p (0..255) of an image becomes `(p * scale - mean) / std`, channel by channel.

    Attributes:
        image_size: Height and width to resize images to; taken from the model where it says.
        mean: What to subtract after scaling, one figure a channel or one for all.
        std: What to divide by after that, one figure a channel or one for all.
        scale: What to multiply pixels by first.
        layout: Where the channels of an image input are; `auto` reads the input's shape.
        color: Order of the channels; `auto` is gray for one channel and rgb for three.
        samples: How many inputs to read at most, spread evenly over the data; all by default.
        batch_size: Inputs a run, where the model leaves it open.
        threads: Threads to run models with; 0 lets ONNX Runtime choose.
    """

    image_size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1 / 255
    layout: Layout = "auto"
    color: Color = "auto"
    samples: int | None = None
    batch_size: int = 64
    threads: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        _check_types(self)
        for option, figures in (
            ("--scale", (self.scale,)),
            ("--mean", self.mean),
            ("--std", self.std),
        ):
            if not all(math.isfinite(figure) for figure in figures):
                raise UsageError(f"{option} {figures}: figures must be finite")
        if self.image_size is not None and min(self.image_size) < 1:
            raise UsageError(f"--image-size {self.image_size}: height and width start at 1")
        if not self.mean or not self.std:
            raise UsageError("--mean and --std take at least one figure each")
        if 0.0 in self.std:
            raise UsageError("--std: 0 would divide by zero; give the deviation of each channel")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"--samples {self.samples}: at least 1 is needed")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: at least 1 is needed")
        if self.threads < 0:
            raise UsageError(f"--threads {self.threads}: 0 (automatic) or more")


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """What to remove, by which rule, and how much.

    Attributes:
        ratio: Fraction of the removable channels to remove, in [0, 1).
        macs: Multiply-accumulates that may remain: a fraction up to 1, or a figure like `1.2G`.
        params: Parameters that may remain: a fraction up to 1, or a figure like `500k`.
        criterion: The rule that scores each unit.
        scope: `global` compares units of all groups, `layer` removes the same share of each.
        normalize: How scores of different groups are made comparable.
        align: `auto` (what this machine's runtime is fast at), `none`, or a step in channels.
        min_channels: Units that stay in every group at least.
        max_layer_ratio: Share of a group that may go at most, in [0, 1].
        include: Only groups are cut that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        exclude: Groups stay whole that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        seed: Seed of whatever is random.
    """

    ratio: float | None = None
    macs: float | str | None = None
    params: float | str | None = None
    criterion: CriterionName = "mean"
    scope: Scope = "global"
    normalize: Normalization = "layer-mean"
    align: str | int = "auto"
    min_channels: int = 1
    max_layer_ratio: float = 0.9
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        _check_types(self)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: 0 or more")
        if self.ratio is not None and not 0 <= self.ratio < 1:
            raise UsageError(f"--ratio {self.ratio}: is the fraction removed, from 0 to below 1")
        if self.ratio is None and self.macs is None and self.params is None:
            raise UsageError("no budget: give --macs, --params or --ratio, such as --macs 0.5")
        if self.ratio is not None and self.ratio > self.max_layer_ratio:
            raise UsageError(
                f"--ratio {self.ratio} contradicts --max-layer-ratio {self.max_layer_ratio}, the "
                "most that may go of any group; lower one or raise the other"
            )
        if self.min_channels < 1:
            raise UsageError(f"--min-channels {self.min_channels}: at least 1 must stay")
        if not 0 <= self.max_layer_ratio <= 1:
            raise UsageError(f"--max-layer-ratio {self.max_layer_ratio}: is a share from 0 to 1")


class DataOptions(TypedDict, total=False):
    """Every field of `DataConfig`, as keyword arguments of the Python API."""

    image_size: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    layout: Layout
    color: Color
    samples: int | None
    batch_size: int
    threads: int


class PruneOptions(DataOptions, total=False):
    """Every field of `PruneConfig` too."""

    ratio: float | None
    macs: float | str | None
    params: float | str | None
    criterion: CriterionName
    scope: Scope
    normalize: Normalization
    align: str | int
    min_channels: int
    max_layer_ratio: float
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    seed: int


def prune_configs(options: PruneOptions) -> tuple[PruneConfig, DataConfig]:
    """Returns keyword arguments as the two configurations that they belong to.

    Raises:
        UsageError: an option is unknown or out of range.
    """
    mine, rest = _names(PruneConfig), _names(DataConfig)
    _check_known(options, mine | rest)
    given: dict[str, Any] = dict(options)
    return (
        PruneConfig(**{name: value for name, value in given.items() if name in mine}),
        DataConfig(**{name: value for name, value in given.items() if name in rest}),
    )


def data_config(options: DataOptions) -> DataConfig:
    """Returns keyword arguments as a configuration.

    Raises:
        UsageError: an option is unknown or out of range.
    """
    _check_known(options, _names(DataConfig))
    return DataConfig(**options)


def _names(kind: type[PruneConfig] | type[DataConfig]) -> set[str]:
    """Returns the names of the options of a configuration."""
    return {field.name for field in fields(kind)}


def _check_known(options: Mapping[str, object], known: set[str]) -> None:
    """Raises UsageError for the first option that does not exist."""
    unknown = sorted(set(options) - known)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]!r}; there are {', '.join(sorted(known))}")


def _check_types(config: PruneConfig | DataConfig) -> None:
    """Raises UsageError for a field that does not hold what it is declared to; lists will do."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(config, name, value)
        if not _fits(value, hint):
            shown = value if isinstance(value, str) else repr(value)
            raise UsageError(f"--{name.replace('_', '-')} {shown}: give {_described(hint)}")


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - hints are of many kinds
    """Returns whether a value is what a type hint of this module says."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return value in parts
    if get_origin(hint) is UnionType:
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        expected = parts[:1] * len(value) if parts[-1] is ... else parts
        return len(value) == len(expected) and all(map(_fits, value, expected))
    kind = {float: Real, int: Integral}.get(hint, hint)
    return isinstance(value, kind) and not isinstance(value, bool)


def _described(hint: Any) -> str:  # noqa: ANN401 - hints are of many kinds
    """Returns a type hint as people read it."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if get_origin(hint) is UnionType:
        return " or ".join(_described(part) for part in parts if part is not type(None))
    if get_origin(hint) is tuple:
        return "a list of " + {str: "texts", int: "whole numbers"}.get(parts[0], "numbers")
    return {float: "a number", int: "a whole number", str: "a text"}[hint]
