"""First-order Taylor expansion of the loss.

    score(c) = | sum over samples n and positions p of a(n, c, p) dL/da(n, c, p) |

Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017.
The gradients take a training runtime.
"""

from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows
from onnxtrim.errors import UsageError

__all__ = ["Taylor"]


class Taylor(Criterion):
    """A unit whose removal hardly moves the loss matters little."""

    name = "taylor"
    needs = Needs.WEIGHTS | Needs.GRADIENTS

    def score(self, group: GroupView) -> Rows:
        """Raises UsageError: gradients cannot be measured yet."""
        raise UsageError(
            "--criterion taylor takes gradients, which this version cannot measure; choose "
            "reconstruction, which needs none"
        )
