"""APoZ: the average percentage of zeros after the activation.

    APoZ(c) = #[a(n, c, p) = 0] / (N P),  over N samples and P positions; in [0, 1]
    score(c) = 1 - APoZ(c)

Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach", 2016.
"""

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["Apoz"]


class Apoz(Criterion):
    """A unit that rarely fires matters little. Means something only after a Relu."""

    name = "apoz"
    needs = Needs.ACTIVATIONS
    statistics = ("zeros",)

    def score(self, group: GroupView) -> Rows:
        """Returns the share of non-zeros, (1, units)."""
        return 1.0 - group.stats("zeros")[None]

    def unfit(self, group: GroupView) -> str | None:
        """Returns why there are no zeros to count, where a tap follows no Relu."""
        if all(tap.zeroes for tap in group.group.taps):
            return super().unfit(group)
        return "no Relu makes its zeros"
