"""The result: as data, as JSON, as text for the terminal, as Markdown."""

from onnxtrim.report.as_json import to_json
from onnxtrim.report.build import environment, frozen_rows, group_rows, side
from onnxtrim.report.markdown import to_markdown
from onnxtrim.report.model import (
    SCHEMA,
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
    "Comparison",
    "FrozenRow",
    "GroupRow",
    "Inspection",
    "MetricValue",
    "ModelFacts",
    "Report",
    "Side",
    "Step",
    "environment",
    "frozen_rows",
    "group_rows",
    "side",
    "to_json",
    "to_markdown",
]
