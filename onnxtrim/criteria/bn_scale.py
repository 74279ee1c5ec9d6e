"""Scale of the batch normalisation behind a unit.

    score(c) = |gamma(c)|, normalisation by normalisation

Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017. It means
most where training has pushed the scales towards 0, and nothing once they are folded into weights.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["BnScale"]


class BnScale(Criterion):
    """A unit that its normalisation scales down matters little."""

    name = "bn-scale"
    needs = Needs.WEIGHTS

    def score(self, group: GroupView) -> Rows:
        """Returns the sizes of the scales, (normalisations, units)."""
        return np.stack([np.abs(rows).mean(axis=1) for rows in group.scales()])

    def unfit(self, group: GroupView) -> str | None:
        """Returns why there is no scale, where there is none."""
        return None if group.group.scales else "no batch normalisation scales it"
