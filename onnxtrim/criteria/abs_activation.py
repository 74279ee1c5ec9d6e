"""Mean absolute activation: how strongly a unit fires, whatever the sign.

    score(c) = mean of |a(n, c, p)| over samples n and positions p

After a Relu it is the mean activation; elsewhere, firing both ways does not cancel. Up to a factor,
the mean L1 norm of feature maps with which Li et al., "Pruning Filters for Efficient ConvNets",
2017, compare the norm of weights.
"""

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["AbsActivation"]


class AbsActivation(Criterion):
    """A unit whose activation is small matters little."""

    name = "abs"
    needs = Needs.ACTIVATIONS
    statistics = ("magnitude",)

    def score(self, group: GroupView) -> Rows:
        """Returns the mean sizes, (1, units)."""
        return group.stats("magnitude")[None]
