"""The tables that text and Markdown both show, as plain rows of strings."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnxtrim.calibration import Latency
from onnxtrim.report.model import (
    CandidateRow,
    Change,
    Comparison,
    Document,
    Inspection,
    MetricValue,
    Report,
    Sensitivity,
    Side,
    Sparsity,
    Tuning,
)

__all__ = ["Table", "figure", "pace", "proof_samples", "tables"]

_ROUNDS_UP = 0.9995
_SHARES = ("accuracy", "agreement")
_UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a head, and rows as wide as the head; the first column is text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(document: Document) -> list[Table]:
    """Returns the tables of a document in the order of reading, empty ones left out."""
    if isinstance(document, Report):
        sides = _sides(document, document.latency_ratio)
        found = [_candidates(document), _allocations(document)]
        found += [_groups(document), _frozen(document), _compensated(document)]
        found += [_trajectory(document)]
        found += [] if document.sparsity is None else [_sparse(document.sparsity)]
        found += [*([_learned(document.tuning)] if document.tuning else []), sides]
    elif isinstance(document, Comparison):
        found = [_sides(document, document.latency_ratio)]
    elif isinstance(document, Sensitivity):
        found = [_curves(document)]
    elif isinstance(document, Tuning):
        found = [_looks(document), _learned(document)]
    else:
        found = [_inspected(document), _frozen(document), _barriers(document)]
    return [table for table in found if table.rows]


def proof_samples(samples: int) -> str:
    """Returns what a proof ran on, as people read it."""
    return f"{samples} samples" if samples else "made-up inputs"


def pace(tuning: Tuning) -> str:
    """Returns what was learned from, how long and how fast, as people read it."""
    steps = "1 step" if tuning.steps == 1 else f"{tuning.steps} steps"
    epochs = "1 epoch" if tuning.epochs == 1 else f"{tuning.epochs} epochs"
    return (
        f"{steps} in {epochs}, {tuning.images_s:.0f} images/s, "
        f"{tuning.seconds:.1f} s in all; learned from {' and '.join(tuning.learned_from)}"
    )


def figure(value: float) -> str:
    """Returns a count with three digits and its unit: 1.23 M."""
    for size, unit in _UNITS:
        if value >= size * _ROUNDS_UP:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def _candidates(report: Report) -> Table:
    """Returns the criteria that were compared, the best first."""
    title = "Criteria, each with a plan of its own for one budget"
    return _compared(title, "criterion", report.candidates)


def _allocations(report: Report) -> Table:
    """Returns the ways to share the budget that were compared, the best first."""
    return _compared("Ways to share the budget among groups", "shared by", report.allocations)


def _compensated(report: Report) -> Table:
    """Returns what compensation did to the outputs, way by way."""
    found = report.compensation
    if found is None:
        return Table("", (), ())
    fits = {way: len(names) for way, names in found.fits.items()}
    got = ", ".join(f"{count} layers {way}" for way, count in fits.items())
    rows = tuple(
        (
            trial.way,
            f"{trial.relative_error:.3g}",
            f"kept{f': {got}' if got else ''}" if trial.way == found.way else "",
        )
        for trial in found.trials
    )
    judged = f"{found.held_out} held-out samples" if found.held_out else "the same samples"
    title = f"Compensation, fitted to {found.samples} samples and judged by {judged}"
    return Table(title, ("", "output error", ""), rows)


def _sparse(found: Sparsity) -> Table:
    """Returns the zeros of every weight tensor."""
    rows = tuple(
        (row.tensor, figure(row.weights), figure(row.zeros), f"{row.sparsity:.2%}", row.reason)
        for row in found.layers
    )
    return Table("Zeros in place", ("weight", "elements", "zeros", "sparsity", "reason"), rows)


def _compared(title: str, what: str, found: Sequence[CandidateRow]) -> Table:
    """Returns plans that were compared, the best first."""
    names = {row.metric.name for row in found} - {"relative_error"}
    rows = tuple(
        (
            row.criterion,
            f"{row.macs:.3f}",
            f"{row.relative_error:.3g}",
            *([_quality(row.metric)] if names else []),
            "chosen" if row.chosen else "",
        )
        for row in found
    )
    return Table(title, (what, "MACs left", "output error", *sorted(names), ""), rows)


def _curves(found: Sensitivity) -> Table:
    """Returns, for each group, the metric once so many units are gone: `8: 79.2%`."""
    most = max((len(curve.points) for curve in found.curves), default=0)
    rows = []
    for curve in found.curves:
        cells = [
            f"{point.removed}: {_quality(MetricValue(found.whole.name, point.metric))}"
            for point in curve.points
        ]
        rows.append((curve.group, str(curve.width), *cells, *[""] * (most - len(cells))))
    title = f"Units removed: {found.whole.name} ({_quality(found.whole)} with none removed)"
    return Table(title, ("group", "width", *[""] * most), tuple(rows))


def _quality(metric: MetricValue) -> str:
    """Returns the figure of a metric as people read it."""
    if metric.name in _SHARES:
        return f"{metric.value:.2%}"
    return f"{metric.value:.3g}"


def _groups(report: Report) -> Table:
    """Returns what became of every group that could be cut."""
    rows = tuple(
        (
            row.name,
            str(row.before),
            str(row.after),
            f"{row.after / row.before:.0%}",
            str(row.step or ""),
            "" if row.score is None else f"{row.score.min:.3g} .. {row.score.max:.3g}",
        )
        for row in report.groups
    )
    return Table("Groups", ("group", "before", "after", "kept", "step", "score"), rows)


def _trajectory(report: Report) -> Table:
    """Returns what was left after each of several steps, and the metric."""
    if len(report.steps) < 2:
        return Table("Steps", (), ())
    rows = tuple(
        (
            str(number),
            f"{step.params / report.before.params:.3f}" if report.before.params else "",
            f"{step.macs / report.before.macs:.3f}" if report.before.macs else "",
            "" if step.latency_ms is None else f"{step.latency_ms:.3f}",
            "" if step.metric is None else _quality(step.metric),
            "" if step.metric_tuned is None else _quality(step.metric_tuned),
            "" if step.accepted else "not taken",
        )
        for number, step in enumerate(report.steps, 1)
    )
    metric = report.before.metric
    name = "metric" if metric is None else metric.name
    head = ("step", "params left", "MACs left", "latency, ms", name, "tuned", "")
    return Table("Steps", head, rows)


def _looks(tuning: Tuning) -> Table:
    """Returns how the loss on held-out samples went during the run."""
    rows = tuple((str(look.step), f"{look.loss:.4g}") for look in tuning.looks)
    return Table("Looks at the held-out samples", ("step", "loss"), rows)


def _learned(tuning: Tuning) -> Table:
    """Returns what tuning did on the samples held out of those that were learned from."""
    metric, loss = tuning.metric, tuning.loss
    rows = [] if metric is None else [(metric.name, *_changed(metric))]
    rows.append((f"loss ({loss.name})", f"{loss.before:.4g}", f"{loss.after:.4g}", ""))
    if tuning.scales is not None:
        before, after = tuning.scales.before, tuning.scales.after
        rows.append((f"{tuning.scales.name}, summed up", f"{before:.4g}", f"{after:.4g}", ""))
    title = f"Tuning, judged on {tuning.data['held_out']} samples held out"
    return Table(title, ("", "before", "after", "after - before"), tuple(rows))


def _changed(metric: Change) -> tuple[str, str, str]:
    """Returns a metric before and after, and by how much it changed."""
    old, new = (_quality(MetricValue(metric.name, v)) for v in (metric.before, metric.after))
    by = metric.after - metric.before
    percents = metric.name in _SHARES
    return old, new, f"{by * 100:+.2f} points" if percents else f"{by:+.3g}"


def _inspected(inspection: Inspection) -> Table:
    """Returns every group that can be cut, with what was measured of it."""
    names = sorted({name for row in inspection.groups for name in row.statistics})
    rows = tuple(
        (
            row.name,
            str(row.before),
            str(row.step or ""),
            "" if row.unit_macs is None else figure(row.unit_macs),
            "" if row.unit_params is None else figure(row.unit_params),
            *(f"{row.statistics[n]:.3g}" if n in row.statistics else "" for n in names),
            ", ".join(row.tensors[:3]) + (" ..." if len(row.tensors) > 3 else ""),
        )
        for row in inspection.groups
    )
    head = ("group", "width", "step", "MACs / unit", "params / unit", *names, "tensors")
    return Table("Groups that can be cut", head, rows)


def _frozen(document: Report | Inspection) -> Table:
    """Returns every group that stays whole, and why."""
    rows = tuple(
        (
            row.name,
            str(row.width),
            f"{row.code}: {row.reason}{f' (at {row.node})' * bool(row.node)}",
        )
        for row in document.frozen
    )
    return Table("Frozen", ("group", "width", "reason"), rows)


def _barriers(inspection: Inspection) -> Table:
    """Returns every node that freezes all it touches; those with one reason share a row."""
    nodes: dict[str, list[str]] = {}
    for row in inspection.barriers:
        nodes.setdefault(f"{row.code}: {row.reason}", []).append(row.node)
    rows = tuple(
        (names[0], "" if len(names) == 1 else f"and {len(names) - 1} more", reason)
        for reason, names in nodes.items()
    )
    return Table("Barriers: nodes that freeze what they touch", ("node", "", "reason"), rows)


def _sides(document: Report | Comparison, ratio: Latency | None) -> Table:
    """Returns both models side by side."""
    before, after = document.before, document.after
    rows = [
        _counted("parameters", before.params, after.params),
        _counted("MACs", before.macs, after.macs),
        _counted("file bytes", before.bytes, after.bytes),
    ]
    zeros = document.sparsity if isinstance(document, Report) else None
    if zeros is not None:
        rows.append(_counted("gzip bytes", zeros.gzip_before, zeros.gzip_after))
        rows.append(("sparsity", "", f"{zeros.sparsity:.2%}", ""))
    rows += _latency_row(before, after, ratio)
    held_out = document.data.get("held_out") if isinstance(document, Report) else None
    if held_out is not None:
        rows.append(("judged on", "", f"{held_out} held out", ""))
    if before.metric is not None and after.metric is not None:
        name, old, new = before.metric.name, before.metric.value, after.metric.value
        if name == "accuracy":
            rows.append((name, f"{old:.2%}", f"{new:.2%}", f"{(new - old) * 100:+.2f} points"))
        elif name not in ("agreement", "relative_error"):  # those follow
            rows.append((name, f"{old:.5g}", f"{new:.5g}", f"{new - old:+.3g}"))
    rows += _cut_row(document)
    if document.agreement is not None:
        rows.append(("agreement", "", f"{document.agreement:.2%}", ""))
    if document.relative_error is not None:
        rows.append(("output error", "", f"{document.relative_error:.3g}", ""))
    return Table("Result", ("", "before", "after", "after / before"), tuple(rows))


def _cut_row(document: Report | Comparison) -> Sequence[tuple[str, ...]]:
    """Returns the row of the metric between cut and tuning, or none where there is none."""
    steps = document.steps if isinstance(document, Report) else ()
    if len(steps) > 1:  # they have a table of their own
        return ()
    return [
        (f"{step.metric.name}, before tuning", "", _quality(step.metric), "")
        for step in steps
        if step.metric is not None and step.metric_tuned is not None
    ]


def _counted(name: str, before: int, after: int) -> tuple[str, ...]:
    """Returns a row of two counts and their ratio."""
    return name, figure(before), figure(after), f"{after / before:.3f}" if before else ""


def _latency_row(before: Side, after: Side, ratio: Latency | None) -> Sequence[tuple[str, ...]]:
    """Returns the row of latencies, or none where they were not measured."""
    old, new = before.latency_ms, after.latency_ms
    if old is None or new is None or ratio is None:
        return ()
    spread = f"{ratio.median:.3f} ({ratio.p10:.3f} .. {ratio.p90:.3f}, {ratio.runs} pairs)"
    return (("latency, ms", f"{old.median:.3f}", f"{new.median:.3f}", spread),)
