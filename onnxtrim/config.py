"""The options, as frozen and validated data: one field = one flag = one TOML key."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from onnxtrim.errors import UsageError
from onnxtrim.zeros import check_zeros

__all__ = [
    "DEFAULT_CRITERION",
    "DEFAULT_DROP",
    "Allocation",
    "Color",
    "Compensate",
    "CriterionChoice",
    "CriterionName",
    "DataConfig",
    "DataOptions",
    "Layout",
    "Normalization",
    "PruneConfig",
    "PruneOptions",
    "Reduction",
    "Scope",
    "check_types",
    "data_config",
    "divided",
]

Layout = Literal["auto", "nchw", "nhwc"]
Color = Literal["auto", "rgb", "bgr", "gray"]
Scope = Literal["global", "layer"]
Normalization = Literal["layer-mean", "max", "gaussian", "none"]
Reduction = Literal["mean", "max", "sum", "first"]
Allocation = Literal["auto", "scores", "error", "sensitivity"]
Compensate = Literal["auto", "none", "mean", "linear"]
CriterionName = Literal[
    "aaws",
    "abs",
    "apoz",
    "bn-scale",
    "fpgm",
    "l1",
    "l2",
    "mean",
    "random",
    "reconstruction",
    "std",
    "taylor",
    "weight-activation",
]
CriterionChoice = Literal[CriterionName, "auto"]


@dataclass(frozen=True, slots=True)
class DataConfig:
    """How inputs are read, prepared and run.

    A pixel p (0..255) of an image becomes `(p * scale - mean) / std`, channel by channel.

    Attributes:
        image_size: Height and width to resize images to; taken from the model where it says.
        crop: Share of an image to keep before that, in (0, 1]: its middle, in the proportions of
            the input; the whole image, squeezed to fit, by default.
        mean: What to subtract after scaling, one figure a channel or one for all; 0 by default.
        std: What to divide by after that, one figure a channel or one for all; 1 by default.
        scale: What to multiply pixels by first; 1/255 by default.
        preprocessor: A `preprocessor_config.json` that says all of this, for what no option does;
            one that lies in the folder of images is found by itself.
        layout: Where the channels of an image input are; `auto` reads the input's shape.
        color: Order of the channels; `auto` is gray for one channel and rgb for three.
        samples: How many inputs to read at most, spread evenly over the data; all by default.
        skip_bad: Leave out files that cannot be used, instead of stopping at the first.
        batch_size: Inputs a run, where the model leaves it open.
        threads: Threads to run models with; 0 lets ONNX Runtime choose.
    """

    image_size: tuple[int, int] | None = None
    crop: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float | None = None
    preprocessor: str | None = None
    layout: Layout = "auto"
    color: Color = "auto"
    samples: int | None = None
    skip_bad: bool = False
    batch_size: int = 64
    threads: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        check_types(self)
        for option, figures in (
            ("--scale", None if self.scale is None else (self.scale,)),
            ("--mean", self.mean),
            ("--std", self.std),
        ):
            if figures is not None and not all(math.isfinite(figure) for figure in figures):
                raise UsageError(f"{option} {figures}: figures must be finite")
        if self.image_size is not None and min(self.image_size) < 1:
            raise UsageError(f"--image-size {self.image_size}: height and width start at 1")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise UsageError(f"--crop {self.crop}: is a share of the image above 0, up to 1")
        if () in (self.mean, self.std):
            raise UsageError("--mean and --std take at least one figure each")
        if 0.0 in (self.std or ()):
            raise UsageError("--std: 0 would divide by zero; give the deviation of each channel")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"--samples {self.samples}: at least 1 is needed")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: at least 1 is needed")
        if self.threads < 0:
            raise UsageError(f"--threads {self.threads}: 0 (automatic) or more")


DEFAULT_CRITERION: CriterionName = "reconstruction"

DEFAULT_DROP = 0.01
"""The `max_drop` where no budget is given: one point."""

_BUDGETS = ("ratio", "macs", "params", "size", "latency", "max_drop")


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """What to remove, by which rule, and how much.

    Budgets hold together, each relative to the original model. With none, the result is as thin as
    a drop of one point of the metric allows (`max_drop` = 0.01).

    Attributes:
        ratio: Fraction of the removable channels to remove, in [0, 1).
        macs: Multiply-accumulates that may remain: a fraction up to 1, or a figure like `1.2G`.
        params: Parameters that may remain: a fraction up to 1, or a figure like `500k`.
        size: File size that may remain: a fraction up to 1, or a figure like `8MB`.
        latency: Time a run may take, measured here: a fraction up to 1, or a figure like `12ms`.
        max_drop: What the metric may lose, in its own unit (0.01 is one point of accuracy),
            measured on held-out samples.
        below_std: The rule of Network Trimming: remove the units whose score is more than this many
            standard deviations below the mean of their group. In one step instead of a budget; in
            several it is repeated until the budget is met.
        criterion: The rule that scores each unit; `auto` tries the cheap ones and keeps the one
            whose plan changes the outputs least.
        scope: `global` compares units of all groups, `layer` removes the same share of each.
        allocate: What shares the budget among the groups: the `scores`; the `error` that they mean
            for the outputs, measured once a group; or the `sensitivity` of the outputs to each
            group, measured at several widths. `auto` is the best of error, scores and the same
            share of every group where there are data, by the outputs, else scores.
        compensate: What makes good for the channels that are gone, without training: `linear`
            fits the weights behind them to what the original makes, `mean` only mean and deviation
            of every output; `auto` is linear, or mean where that does not help. What does not help
            on held-out samples is dropped.
        refresh: Layers that are fitted in one pass over the data: more are faster, and worse.
        weights: Instead of removing channels, set this share of single weights to 0, the least
            ones. The zeros stay in place.
        pattern: Instead of that, at most N weights that are not 0 in each M in a row along the
            inputs, as N:M, such as `2:4`.
        lossless: Instead of a budget, remove just the channels that never vary on the data, and
            fold what they are into biases; the outputs stay the same to 1e-5.
        reduce: What makes one score of those of several writers or readers.
        normalize: How scores of different groups are made comparable.
        align: `auto` (what this machine's runtime is fast at, measured once), `none`, a step in
            channels, or the runtime it is for: `ncnn`, `openvino`, `tflite`.
        min_channels: Channels that stay in every layer at least.
        max_layer_ratio: Share of a layer that may go at most, in [0, 1].
        include: Only groups are cut that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        exclude: Groups stay whole that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        finetune: Let the cut model learn again, from labels or from the model that it was.
        seed: Seed of whatever is random.
    """

    ratio: float | None = None
    macs: float | str | None = None
    params: float | str | None = None
    size: float | str | None = None
    latency: float | str | None = None
    max_drop: float | None = None
    below_std: float | None = None
    criterion: CriterionChoice = DEFAULT_CRITERION
    scope: Scope = "global"
    allocate: Allocation = "auto"
    compensate: Compensate = "auto"
    refresh: int = 1
    weights: float | None = None
    pattern: str | None = None
    lossless: bool = False
    reduce: Reduction = "mean"
    normalize: Normalization = "layer-mean"
    align: str | int = "auto"
    min_channels: int = 1
    max_layer_ratio: float = 0.9
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    finetune: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError where a field is out of range."""
        check_types(self)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: 0 or more")
        if self.ratio is not None and not 0 <= self.ratio < 1:
            raise UsageError(f"--ratio {self.ratio}: is the fraction removed, from 0 to below 1")
        values = ((field, getattr(self, field.name)) for field in fields(self))
        check_zeros({field.name: value for field, value in values if value != field.default})
        self._check_budgets()
        if self.ratio is not None and self.ratio > self.max_layer_ratio:
            raise UsageError(
                f"--ratio {self.ratio} contradicts --max-layer-ratio {self.max_layer_ratio}, the "
                "most that may go of any group; lower one or raise the other"
            )
        if self.refresh < 1:
            raise UsageError(f"--refresh {self.refresh}: 1 or more")
        if self.min_channels < 1:
            raise UsageError(f"--min-channels {self.min_channels}: at least 1 must stay")
        if not 0 <= self.max_layer_ratio <= 1:
            raise UsageError(f"--max-layer-ratio {self.max_layer_ratio}: is a share from 0 to 1")

    @property
    def budgets(self) -> dict[str, object]:
        """Returns the budgets that were given, by the name of their option."""
        named = {name: getattr(self, name) for name in _BUDGETS}
        return {f"--{name.replace('_', '-')}": v for name, v in named.items() if v is not None}

    @property
    def may_grow(self) -> bool:
        """Returns whether biases may be added: no budget counts parameters or bytes."""
        return self.params is None and self.size is None

    @property
    def sparse(self) -> bool:
        """Returns whether single weights are set to 0, and no channels removed."""
        return self.weights is not None or self.pattern is not None

    @property
    def asks(self) -> bool:
        """Returns whether there is a budget, or a rule that needs none."""
        return self.sparse or bool(self.budgets) or self.below_std is not None or self.lossless

    def check_rule(self) -> None:
        """Raises UsageError where one step has both a rule and a budget."""
        for option, value in self.budgets.items() if self.below_std is not None else ():
            raise UsageError(
                f"--below-std {self.below_std} and {option} {value} contradict each other: the "
                "rule needs no budget; leave one of them out, or give --steps to repeat it"
            )

    def _check_budgets(self) -> None:
        """Raises UsageError where budgets make no sense, alone or together."""
        if self.max_drop is not None and not 0 <= self.max_drop < math.inf:
            raise UsageError(f"--max-drop {self.max_drop}: 0 or more, such as 0.01 for one point")
        if self.lossless and self.compensate in ("none", "mean"):
            raise UsageError(
                f"--lossless folds what goes into biases, and --compensate {self.compensate} does "
                "not; leave one of them out"
            )
        if self.lossless:
            for option in (*self.budgets, *(["--below-std"] if self.below_std is not None else [])):
                raise UsageError(
                    f"--lossless and {option} contradict each other: what never varies needs no "
                    "budget; leave one of them out"
                )
        if self.below_std is None:
            return
        if not math.isfinite(self.below_std):
            raise UsageError(f"--below-std {self.below_std}: give a finite figure, such as 1")
        if self.allocate in ("error", "sensitivity"):
            raise UsageError(f"--allocate {self.allocate} shares a budget; --below-std has none")
        if self.criterion == "auto":
            raise UsageError("--criterion auto compares plans for one budget; --below-std has none")


class DataOptions(TypedDict, total=False):
    """Every field of `DataConfig`, as keyword arguments of the Python API."""

    image_size: tuple[int, int] | None
    crop: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    scale: float | None
    preprocessor: str | None
    layout: Layout
    color: Color
    samples: int | None
    skip_bad: bool
    batch_size: int
    threads: int


class PruneOptions(DataOptions, total=False):
    """Every field of `PruneConfig` too."""

    ratio: float | None
    macs: float | str | None
    params: float | str | None
    size: float | str | None
    latency: float | str | None
    max_drop: float | None
    below_std: float | None
    criterion: CriterionChoice
    scope: Scope
    allocate: Allocation
    compensate: Compensate
    refresh: int
    weights: float | None
    pattern: str | None
    lossless: bool
    reduce: Reduction
    normalize: Normalization
    align: str | int
    min_channels: int
    max_layer_ratio: float
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    finetune: bool
    seed: int


def data_config(options: DataOptions) -> DataConfig:
    """Returns keyword arguments as a configuration.

    Raises:
        UsageError: an option is unknown or out of range.
    """
    (given,) = divided(options, DataConfig)
    return DataConfig(**given)


def divided(options: Mapping[str, object], *kinds: type[Any]) -> tuple[dict[str, Any], ...]:
    """Returns for each of some configurations the options that are fields of it.

    Raises:
        UsageError: an option is a field of none.
    """
    names = [{field.name for field in fields(kind)} for kind in kinds]
    known = set[str]().union(*names)
    unknown = sorted(set(options) - known)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return tuple({k: v for k, v in options.items() if k in mine} for mine in names)


def check_types(config: object) -> None:
    """Raises UsageError for a field that does not hold what it is declared to.

    Lists will do for tuples, and paths for texts.
    """
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if isinstance(value, list | os.PathLike):
            value = tuple(value) if isinstance(value, list) else os.fspath(value)
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
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    return isinstance(value, {float: Real, int: Integral}.get(hint, hint))


def _described(hint: Any) -> str:  # noqa: ANN401 - hints are of many kinds
    """Returns a type hint as people read it."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if get_origin(hint) is UnionType:
        return " or ".join(_described(part) for part in parts if part is not type(None))
    if get_origin(hint) is tuple:
        return "a list of " + {str: "texts", int: "whole numbers"}.get(parts[0], "numbers")
    named = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    return named[hint]
