"""Random scores: the baseline that every other criterion has to beat.

score(c) ~ U[0, 1), from the seed and the name of the group
"""

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows

__all__ = ["RandomChoice"]


class RandomChoice(Criterion):
    """Any unit matters as much as any other."""

    name = "random"
    needs = Needs.NOTHING

    def score(self, group: GroupView) -> Rows:
        """Returns uniform figures, (1, units); the same for the same seed and group."""
        return group.rng().random((1, group.group.width))
