"""What to remove: cost, budgets, alignment, the choice (-> `PrunePlan`)."""

from onnxtrim.selection.align import Alignment, alignments_of
from onnxtrim.selection.budget import Budget
from onnxtrim.selection.choose import Choice, choose
from onnxtrim.selection.cost import Cost, CostModel
from onnxtrim.selection.plan import PlannedGroup, PrunePlan, make_plan, removed_units

__all__ = [
    "Alignment",
    "Budget",
    "Choice",
    "Cost",
    "CostModel",
    "PlannedGroup",
    "PrunePlan",
    "alignments_of",
    "choose",
    "make_plan",
    "removed_units",
]
