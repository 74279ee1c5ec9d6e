"""All groups -> scores, with a stand-in where a criterion means nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration.measurements import Measurements
from onnxtrim.channels import ChannelMap
from onnxtrim.config import Reduction
from onnxtrim.criteria.base import Criterion, GroupView, Scores
from onnxtrim.criteria.l1 import L1
from onnxtrim.criteria.reduction import reduced
from onnxtrim.errors import ModelError

__all__ = ["Scoring", "score_groups"]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores by group name, (units,) each, higher = keep, and what is to be said about them.

    Attributes:
        scores: the scores.
        warnings: one sentence each.
        stand_ins: the groups that were ranked by another criterion.
    """

    scores: Mapping[str, Scores]
    warnings: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()


def score_groups(
    model: ir.Model,
    channel_map: ChannelMap,
    criterion: Criterion,
    measurements: Measurements | None,
    *,
    reduction: Reduction = "mean",
    seed: int = 0,
) -> Scoring:
    """Returns the scores of all groups that can be cut.

    Where a criterion means nothing in a group (APoZ without a Relu, say: all units would score
    alike, and the order would be that of their positions), the group is ranked by L1 instead, and
    a warning says so.

    Raises:
        ModelError: a score is not finite.
    """
    scores: dict[str, Scores] = {}
    warnings: list[str] = []
    stand_ins: list[str] = []
    for group in channel_map.groups:
        view = GroupView(group, channel_map, model, measurements, seed)
        rule: Criterion = criterion
        if (why := criterion.unfit(view)) is not None:
            rule = L1()
            stand_ins.append(group.name)
            warnings.append(
                f"{group.name}: {criterion.name} means nothing here ({why}); "
                f"ranked by {rule.name} instead"
            )
        scores[group.name] = reduced(rule.score(view), reduction)
        if not np.isfinite(scores[group.name]).all():
            raise ModelError(
                f"{group.name}: its {rule.name} scores are not finite; its weights hold NaN or "
                "infinity, train or export the model again"
            )
        if group.width > 1 and np.ptp(scores[group.name]) == 0:
            warnings.append(
                f"{group.name}: all units have the same {rule.name}; their order is arbitrary"
            )
    return Scoring(scores, tuple(warnings), tuple(stand_ins))
