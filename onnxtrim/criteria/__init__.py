"""One file per criterion, the table that lists them, and the scoring of all groups."""

from collections.abc import Mapping

from onnxtrim.config import CriterionName
from onnxtrim.criteria.aaws import Aaws
from onnxtrim.criteria.abs_activation import AbsActivation
from onnxtrim.criteria.apoz import Apoz
from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows, Scores
from onnxtrim.criteria.bn_scale import BnScale
from onnxtrim.criteria.fpgm import Fpgm
from onnxtrim.criteria.l1 import L1
from onnxtrim.criteria.l2 import L2
from onnxtrim.criteria.mean_activation import MeanActivation
from onnxtrim.criteria.random_choice import RandomChoice
from onnxtrim.criteria.reconstruction import Reconstruction
from onnxtrim.criteria.scoring import Scoring, score_groups
from onnxtrim.criteria.std_activation import StdActivation
from onnxtrim.criteria.taylor import Taylor
from onnxtrim.criteria.weight_activation import WeightActivation

__all__ = [
    "CRITERIA",
    "Criterion",
    "GroupView",
    "Needs",
    "Rows",
    "Scores",
    "Scoring",
    "score_groups",
]

CRITERIA: Mapping[CriterionName, Criterion] = {
    "aaws": Aaws(),
    "abs": AbsActivation(),
    "apoz": Apoz(),
    "bn-scale": BnScale(),
    "fpgm": Fpgm(),
    "l1": L1(),
    "l2": L2(),
    "mean": MeanActivation(),
    "random": RandomChoice(),
    "reconstruction": Reconstruction(),
    "std": StdActivation(),
    "taylor": Taylor(),
    "weight-activation": WeightActivation(),
}
