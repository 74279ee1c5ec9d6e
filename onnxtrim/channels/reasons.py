"""Why a channel stays: a value, never an exception."""

import enum
from dataclasses import dataclass

__all__ = ["Code", "Reason"]


class Code(enum.StrEnum):
    """What keeps a unit. Where several reasons hold, the first of this list is reported."""

    EXCLUDED = "excluded"
    GRAPH_OUTPUT = "graph output"
    GRAPH_INPUT = "graph input"
    UNKNOWN_OPERATOR = "unknown operator"
    RULE_FAILED = "rule failed"
    DYNAMIC_SIZE = "dynamic size"
    MIXED = "channels are mixed"
    BROADCAST = "broadcast"
    POSITIONS = "positions, not channels"


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why a unit is frozen: a code, the node where it is decided, and a sentence for people."""

    code: Code
    node: str
    sentence: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """Sorts reasons by the order of `Code`, then by node: independent of the graph's order."""
        return list(Code).index(self.code), self.node, self.sentence

    def __str__(self) -> str:
        """Returns the sentence with its code in front."""
        return f"{self.code}: {self.sentence}"
