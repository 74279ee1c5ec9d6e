"""Weight times activation: what a unit can move in those that read it.

    score(c) = sum over places p, outputs o and kernel k of |W[c, p, o, k]| sqrt(E[x_cp^2])

reader by reader, with W the weight that reads and x what it is fed. Sun et al., "A Simple and
Effective Pruning Approach for Large Language Models" (Wanda), 2023, summed over the weights of a
unit.
"""

import numpy as np

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["WeightActivation"]


class WeightActivation(Criterion):
    """A unit that is read with small weights, or rarely fires, matters little."""

    name = "weight-activation"
    needs = Needs.WEIGHTS | Needs.INPUTS
    statistics = ("square",)

    def score(self, group: GroupView) -> Rows:
        """Returns the summed products, (readers, units)."""
        return np.stack(
            [
                (np.abs(r.weight) * np.sqrt(r.statistics["square"])).sum(axis=(1, 2, 3, 4))
                for r in group.readings("square")
            ]
        )
