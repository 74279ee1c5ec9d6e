"""What only runs can tell: measured budgets, the choice of a criterion, sensitivity."""

from onnxtrim.search.decide import Decision, decide, parts_of
from onnxtrim.search.scores import measured, measured_for, scored_by
from onnxtrim.search.sensitivity import curves_of
from onnxtrim.search.trials import Bench, judge_of

__all__ = [
    "Bench",
    "Decision",
    "curves_of",
    "decide",
    "judge_of",
    "measured",
    "measured_for",
    "parts_of",
    "scored_by",
]
