"""A report, a comparison, an inspection, curves and a tuning by hand; no test lives here."""

import math

from onnxtrim.calibration import Latency
from onnxtrim.report import (
    SCHEMA,
    BarrierRow,
    CandidateRow,
    Change,
    Comparison,
    Curve,
    CurvePoint,
    FrozenRow,
    GroupRow,
    Inspection,
    Look,
    MetricValue,
    ModelFacts,
    Report,
    Sensitivity,
    Side,
    Sparsity,
    Step,
    Tuning,
)
from onnxtrim.report.model import Spread
from onnxtrim.sparsity import SparseLayer
from onnxtrim.surgery import Verification

FACTS = ModelFacts("lenet.onnx", "abc", {"image": (1, 1, 28, 28)})
BEFORE = Side(
    431_080, 2_293_000, 1_725_567, Latency(0.222, 0.147, 0.403, 201), MetricValue("accuracy", 0.99)
)
AFTER = Side(
    271_454, 1_048_200, 1_087_303, Latency(0.132, 0.093, 0.243, 201), MetricValue("accuracy", 0.965)
)
RATIO = Latency(0.575, 0.349, 0.956, 201)
GROUPS = (
    GroupRow(
        "conv1", 20, 12, 16, Spread(0.25, 0.5, 0.75), {"zeros": 0.453}, ("a", "w1"), 1_250, 76
    ),
    GroupRow("conv[2]|x", 50, 32, 16, Spread(0.0, 0.3, 0.66), {}, ("a", "b", "c", "d")),
)
FROZEN = (
    FrozenRow("fc2", 10, "graph output", "logits is an output of the graph", "last"),
    FrozenRow(
        "[bold]odd|name[/bold]",
        7,
        "unknown operator",
        "no rule describes my.domain.Mystery|Two (opset 3), so that whatever it reads or writes "
        "stays as it is, however long /its/name/"
        "and/the/name/of/what/it/reads/may/get/in/a/real/model/that/somebody/exported_output_0",
    ),
)
BARRIERS = (
    BarrierRow("node1", "unknown operator", "no rule describes ai.onnx.Slice (opset 17)"),
    BarrierRow("node2", "unknown operator", "no rule describes ai.onnx.Slice (opset 17)"),
    BarrierRow("node3", "rule failed", "the rule for ai.onnx.Conv (opset 17) failed"),
)
WARNINGS = ("conv1: apoz is degenerate; ranked by l1 instead", "a second [red]warning[/red]")

CANDIDATES = (
    CandidateRow("reconstruction", 0.4989, 0.01234, MetricValue("accuracy", 0.965), chosen=True),
    CandidateRow("mean", 0.4912, 0.0567, MetricValue("accuracy", 0.9425)),
    CandidateRow("random", 0.5, 0.789, MetricValue("accuracy", 0.101)),
)
CURVES = (
    Curve("conv1", 20, (CurvePoint(9, 0.64, 0.9875, 0.02), CurvePoint(18, 0.28, 0.5, 0.7))),
    Curve("conv[2]|x", 50, (CurvePoint(1, 0.99, 0.99, 0.0),)),
    Curve("whole", 1, ()),
)


def report(**changes: object) -> Report:
    """Returns a report of a run, with some fields changed."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "model": FACTS,
        "settings": {"macs": 0.5, "mean": (0.0,), "samples": None},
        "before": BEFORE,
        "after": AFTER,
        "latency_ratio": RATIO,
        "groups": GROUPS,
        "frozen": FROZEN,
        "steps": (Step(271_454, 1_048_200, MetricValue("accuracy", 0.965)),),
        "agreement": 0.975,
        "relative_error": 0.0123,
        "verification": Verification(1.9e-06, 1.04e-07, 8),
        "timings_s": {"prepare": 0.1},
        "environment": {"numpy": "2.0", "cores": "2"},
        "data": {"samples": 300, "fingerprint": "def"},
        "warnings": WARNINGS,
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]


def comparison(**changes: object) -> Comparison:
    """Returns a comparison, with some fields changed."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "names": ("a.onnx", "b.onnx"),
        "before": BEFORE,
        "after": AFTER,
        "latency_ratio": RATIO,
        "agreement": 0.975,
        "relative_error": 0.0123,
    }
    return Comparison(**(fields | changes))  # type: ignore[arg-type]


def inspection(**changes: object) -> Inspection:
    """Returns an inspection, with some fields changed."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "model": FACTS,
        "cost": Side(431_080, 2_293_000, 1_725_567),
        "groups": GROUPS,
        "frozen": FROZEN,
        "barriers": BARRIERS,
        "warnings": WARNINGS,
    }
    return Inspection(**(fields | changes))  # type: ignore[arg-type]


def sensitivity(**changes: object) -> Sensitivity:
    """Returns curves, with some fields changed."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "model": FACTS,
        "whole": MetricValue("accuracy", 0.99),
        "curves": CURVES,
        "data": {"samples": 300, "fingerprint": "def"},
        "warnings": WARNINGS,
    }
    return Sensitivity(**(fields | changes))  # type: ignore[arg-type]


def tuning(**changes: object) -> Tuning:
    """Returns what a model learned, with some fields changed."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "model": FACTS,
        "teacher": None,
        "settings": {"epochs": 2, "lr": 0.001},
        "learned_from": ("labels", "teacher"),
        "metric": Change("accuracy", 0.5, 0.96875),
        "loss": Change("ce", 1.25, 0.125),
        "looks": (Look(0, 1.25), Look(12, 0.5), Look(24, 0.125)),
        "epochs": 2,
        "steps": 24,
        "images_s": 812.4,
        "seconds": 3.21,
        "interrupted": False,
        "untrained": ("w|1: no gradient passes an [odd] node (lstm)",),
        "environment": {"numpy": "2.0", "onnxruntime-training": "1.19.2"},
        "data": {"samples": 320, "fingerprint": "def", "held_out": 32},
        "cuts": ("trained up to 'h', before LSTM 'lstm'",),
        "warnings": WARNINGS,
    }
    return Tuning(**(fields | changes))  # type: ignore[arg-type]


def tuned_report() -> Report:
    """Returns the report of a run that tuned what it had cut."""
    cut, tuned = MetricValue("accuracy", 0.8125), MetricValue("accuracy", 0.965)
    return report(steps=(Step(271_454, 1_048_200, cut, tuned),), tuning=tuning())


ZEROS = Sparsity(
    layers=(
        SparseLayer("w[1]|a", 400_000, 10, 300_000, 0.75),
        SparseLayer("w2", 500, 0, 0, 0.0, "it reads 1 in a row, which is no [multiple] of 4"),
    ),
    weights=400_500,
    zeros=300_000,
    sparsity=0.7491,
    gzip_before=1_590_000,
    gzip_after=477_000,
    note="zeros in place make nothing smaller",
)


def sparse_report() -> Report:
    """Returns the report of a run that set weights to 0."""
    return report(groups=(), frozen=(), sparsity=ZEROS)


def hopeless() -> Report:
    """Returns a report in which every figure that can be undefined is."""
    latency = Latency(math.nan, math.inf, -math.inf, 0)
    metric = MetricValue("relative_error", math.nan)
    return report(
        before=Side(1, 0, 1, latency, metric),
        after=Side(1, 0, 1, latency, metric),
        latency_ratio=latency,
        groups=(
            GroupRow("g", 1, 1, 1, Spread(math.nan, math.nan, math.inf), {"mean": math.nan}, ()),
        ),
        steps=(Step(1, 0, metric),),
        agreement=math.nan,
        relative_error=math.inf,
        verification=Verification(math.inf, math.nan, 0),
        timings_s={"prepare": math.nan},
        settings={"scale": math.inf, "mean": (math.nan,)},
    )
