"""The result: as data, as JSON, as text for the terminal, as Markdown."""

from onnxtrim.report.as_json import to_json
from onnxtrim.report.build import (
    barrier_rows,
    environment,
    frozen_rows,
    group_rows,
    side,
    uncounted_warnings,
    with_unit_costs,
)
from onnxtrim.report.markdown import to_markdown
from onnxtrim.report.model import (
    SCHEMA,
    BarrierRow,
    Comparison,
    FrozenRow,
    GroupRow,
    Inspection,
    MetricValue,
    ModelFacts,
    Report,
    Side,
    Step,
)

__all__ = [
    "SCHEMA",
    "BarrierRow",
    "Comparison",
    "FrozenRow",
    "GroupRow",
    "Inspection",
    "MetricValue",
    "ModelFacts",
    "Report",
    "Side",
    "Step",
    "barrier_rows",
    "environment",
    "frozen_rows",
    "group_rows",
    "side",
    "to_json",
    "to_markdown",
    "uncounted_warnings",
    "with_unit_costs",
]
