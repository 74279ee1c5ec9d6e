"""One file per criterion, the table that lists them, and the scoring of all groups."""

from collections.abc import Mapping

from onnxtrim.config import CriterionName
from onnxtrim.criteria.apoz import Apoz
from onnxtrim.criteria.base import Criterion, GroupView, Needs, Scores
from onnxtrim.criteria.l1 import L1
from onnxtrim.criteria.l2 import L2
from onnxtrim.criteria.mean_activation import MeanActivation
from onnxtrim.criteria.random_choice import RandomChoice
from onnxtrim.criteria.scoring import Scoring, score_groups

__all__ = ["CRITERIA", "Criterion", "GroupView", "Needs", "Scores", "Scoring", "score_groups"]

CRITERIA: Mapping[CriterionName, Criterion] = {
    "apoz": Apoz(),
    "l1": L1(),
    "l2": L2(),
    "mean": MeanActivation(),
    "random": RandomChoice(),
}
