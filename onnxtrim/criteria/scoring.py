"""All groups -> scores, with a stand-in where a criterion means nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration.measurements import Measurements
from onnxtrim.channels import ChannelGroup, ChannelMap
from onnxtrim.criteria.base import Criterion, GroupView, Scores
from onnxtrim.criteria.l1 import L1
from onnxtrim.errors import ModelError

__all__ = ["Scoring", "score_groups"]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores by group name, (units,) each, higher = keep, and what is to be said about them."""

    scores: Mapping[str, Scores]
    warnings: tuple[str, ...]


def score_groups(
    model: ir.Model,
    channel_map: ChannelMap,
    criterion: Criterion,
    measurements: Measurements | None,
    seed: int,
) -> Scoring:
    """Returns the scores of all groups that can be cut.

    A criterion that needs exact zeros is degenerate in a group whose activations have none: all
    units would score alike, and the order would be that of their positions. Such a group is
    ranked by L1 instead, and a warning says so.

    Raises:
        ModelError: a score is not finite.
    """
    scores: dict[str, Scores] = {}
    warnings: list[str] = []
    stand_in = L1()
    for group in channel_map.groups:
        view = GroupView(group, channel_map, model, measurements, seed)
        rule: Criterion = criterion
        if criterion.wants_zeroes and not _has_zeroes(group):
            rule = stand_in
            warnings.append(
                f"{group.name}: {criterion.name} is degenerate without a Relu behind it; "
                f"ranked by {stand_in.name} instead"
            )
        scores[group.name] = rule.score(view)
        if not np.isfinite(scores[group.name]).all():
            raise ModelError(
                f"{group.name}: its {rule.name} scores are not finite; its weights hold NaN or "
                "infinity, train or export the model again"
            )
        alike = group.width > 1 and np.ptp(scores[group.name]) == 0
        if rule is criterion and criterion.wants_zeroes and alike:
            warnings.append(
                f"{group.name}: all units have the same {criterion.name}; their order is arbitrary"
            )
    return Scoring(scores, tuple(warnings))


def _has_zeroes(group: ChannelGroup) -> bool:
    """Returns whether every tap of a group follows an activation with a half-line of zeros."""
    return bool(group.taps) and all(tap.zeroes for tap in group.taps)
