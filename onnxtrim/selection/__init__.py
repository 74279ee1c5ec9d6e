"""What to remove: cost, budgets, alignment, the choice (-> `PrunePlan`)."""

from onnxtrim.selection.align import Alignment, alignments_of
from onnxtrim.selection.budget import Budget, milliseconds
from onnxtrim.selection.choose import (
    Choice,
    choose,
    counted,
    fitting,
    given_back,
    ladders,
    queues_of,
    quota,
    shortfall,
    trimmed,
    widest,
)
from onnxtrim.selection.cost import Cost, CostModel
from onnxtrim.selection.ladder import Ladder, Queue, Widths
from onnxtrim.selection.plan import PlannedGroup, PrunePlan, composed, make_plan, removed_units

__all__ = [
    "Alignment",
    "Budget",
    "Choice",
    "Cost",
    "CostModel",
    "Ladder",
    "PlannedGroup",
    "PrunePlan",
    "Queue",
    "Widths",
    "alignments_of",
    "choose",
    "composed",
    "counted",
    "fitting",
    "given_back",
    "ladders",
    "make_plan",
    "milliseconds",
    "queues_of",
    "quota",
    "removed_units",
    "shortfall",
    "trimmed",
    "widest",
]
