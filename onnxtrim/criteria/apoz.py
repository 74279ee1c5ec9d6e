"""APoZ: the average percentage of zeros after the activation.

    APoZ(c) = #[a(n, c, p) = 0] / (N P),  over N samples and P positions; in [0, 1]
    score(c) = 1 - APoZ(c)

Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach", 2016.
"""

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Scores, average

__all__ = ["Apoz"]


class Apoz(Criterion):
    """A unit that rarely fires matters little. Means something only after a Relu."""

    name = "apoz"
    needs = Needs.ACTIVATIONS
    statistics = ("zeros",)
    wants_zeroes = True

    def score(self, group: GroupView) -> Scores:
        """Returns the share of non-zeros, (units,); the mean over taps where there are several."""
        return 1.0 - average(group.stats("zeros"))
