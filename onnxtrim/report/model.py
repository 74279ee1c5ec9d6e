"""The report as data; `report-schema.md` documents its JSON."""

from dataclasses import dataclass, field

from onnxtrim.calibration import Latency
from onnxtrim.sparsity import SparseLayer
from onnxtrim.surgery import Verification
from onnxtrim.surgery.best import Compensation

__all__ = [
    "SCHEMA",
    "BarrierRow",
    "CandidateRow",
    "Change",
    "Comparison",
    "Curve",
    "CurvePoint",
    "Document",
    "FrozenRow",
    "GroupRow",
    "Inspection",
    "Look",
    "MetricValue",
    "ModelFacts",
    "Report",
    "Sensitivity",
    "Side",
    "Sparsity",
    "Spread",
    "Step",
    "Tuning",
]

SCHEMA = "onnxtrim.report/1"


@dataclass(frozen=True, slots=True)
class MetricValue:
    """The name and value of a metric."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Side:
    """What one model costs and how good it is; `bytes` is the size of the file."""

    params: int
    macs: int
    bytes: int
    latency_ms: Latency | None = None
    metric: MetricValue | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, middle and largest of some scores."""

    min: float
    median: float
    max: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group: its width before and after, the step it was cut in, its scores and tensors.

    `unit_macs` and `unit_params` are what the model saves with one unit of its less.
    """

    name: str
    before: int
    after: int
    step: int | None
    score: Spread | None
    statistics: dict[str, float]
    tensors: tuple[str, ...]
    unit_macs: int | None = None
    unit_params: int | None = None


@dataclass(frozen=True, slots=True)
class BarrierRow:
    """One node that freezes all it touches, and why."""

    node: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """One group that stays, why, and at which node that is decided."""

    name: str
    width: int
    code: str
    reason: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """What the plan of one criterion did to the outputs, when criteria were compared.

    `macs` is what the model still computes, as a fraction of the original.
    """

    criterion: str
    macs: float
    relative_error: float
    metric: MetricValue
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A model that lacks `removed` units of one group; `macs` is a fraction of the original."""

    removed: int
    macs: float
    metric: float
    relative_error: float


@dataclass(frozen=True, slots=True)
class Curve:
    """What removing more and more of one group of `width` units does, by units removed."""

    group: str
    width: int
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One pruning step: what remained, and the metric before and after tuning.

    `widths` are those of the groups, `latency_ms` a median. One that was not `accepted` lost more
    of the metric than was allowed; the result is of the last one that was.
    """

    params: int
    macs: int
    metric: MetricValue | None
    metric_tuned: MetricValue | None = None
    bytes: int = 0
    latency_ms: float | None = None
    widths: dict[str, int] = field(default_factory=dict)
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """The name of a figure, and its value before and after."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Look:
    """The loss on held-out samples after so many steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which model it was, and for which input sizes its costs are counted."""

    name: str
    sha256: str
    inputs: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `inspect` found: costs, groups that can be cut, and groups that cannot."""

    schema: str
    model: ModelFacts
    cost: Side
    groups: tuple[GroupRow, ...]
    frozen: tuple[FrozenRow, ...]
    barriers: tuple[BarrierRow, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models side by side on the same data; `latency_ratio` is after / before, in pairs."""

    schema: str
    names: tuple[str, str]
    before: Side
    after: Side
    latency_ratio: Latency
    agreement: float | None
    relative_error: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a model learned. `metric`, `loss` and `looks` are of samples that were held out.

    `model` is what was read: where a run pruned it too, it is its own teacher. Without labels of
    classes and a teacher there is nothing to go by, and no metric. `epochs` are those
    that ended in a look, `images_s` are of the steps alone, and `seconds` of all. `scales` are the
    sizes of those of BatchNormalization, summed up, where these were slimmed.
    """

    schema: str
    model: ModelFacts
    teacher: ModelFacts | None
    settings: dict[str, object]
    learned_from: tuple[str, ...]
    metric: Change | None
    loss: Change
    looks: tuple[Look, ...]
    epochs: int
    steps: int
    images_s: float
    seconds: float
    interrupted: bool
    cuts: tuple[str, ...]
    untrained: tuple[str, ...]
    environment: dict[str, str]
    data: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scales: Change | None = None


@dataclass(frozen=True, slots=True)
class Sparsity:
    """The zeros that weight pruning left in place, tensor by tensor and in all.

    `gzip_before` and `gzip_after` are the bytes of the original and of the result, both as they are
    written here, once gzip has compressed them.
    """

    layers: tuple[SparseLayer, ...]
    weights: int
    zeros: int
    sparsity: float
    gzip_before: int
    gzip_after: int
    note: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. Every figure in it was measured or counted on the result."""

    schema: str
    model: ModelFacts
    settings: dict[str, object]
    before: Side
    after: Side
    latency_ratio: Latency | None
    groups: tuple[GroupRow, ...]
    frozen: tuple[FrozenRow, ...]
    steps: tuple[Step, ...]
    agreement: float | None
    relative_error: float | None
    verification: Verification
    timings_s: dict[str, float]
    environment: dict[str, str]
    data: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    candidates: tuple[CandidateRow, ...] = ()
    allocations: tuple[CandidateRow, ...] = ()
    compensation: Compensation | None = None
    tuning: Tuning | None = None
    sparsity: Sparsity | None = None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much the outputs suffer from each group alone; `whole` is the metric of the original."""

    schema: str
    model: ModelFacts
    whole: MetricValue
    curves: tuple[Curve, ...]
    data: dict[str, object]
    warnings: tuple[str, ...] = ()


Document = Report | Comparison | Inspection | Sensitivity | Tuning
"""Whatever can be shown."""
