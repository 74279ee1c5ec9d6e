"""The twin of a model: what is trained in its place."""

from onnxtrim.finetune.twin.cuts import Cut, alike
from onnxtrim.finetune.twin.twin import (
    Twin,
    Untrained,
    check_twin,
    lowered,
    twin_beside,
    twin_of,
)

__all__ = [
    "Cut",
    "Twin",
    "Untrained",
    "alike",
    "check_twin",
    "lowered",
    "twin_beside",
    "twin_of",
]
