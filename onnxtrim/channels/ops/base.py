"""What a rule is: everything that the rest of the program needs to know of an operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from onnxtrim.channels.ops.products import Product
from onnxtrim.channels.relations import Relations

if TYPE_CHECKING:
    from onnxtrim.channels.kept import Kept

__all__ = ["OpId", "OpRule", "Shapes", "Weight"]

Shapes = Mapping[str, tuple[int, ...]]
"""Sizes by tensor name: those of the model as it is, or as it would be after a cut."""


@dataclass(frozen=True, slots=True)
class OpId:
    """An operator from version `since` of its operator set on, until a later entry replaces it."""

    name: str
    since: int = 1
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Weight:
    """The operand whose slices along `writes` make, and along `reads` consume, channels.

    None stands for an axis the weight does not have: a depthwise kernel reads no axis of its own,
    a recurrent weight makes nothing that its input weight does not make. The axis `reads` consists
    of `blocks` of one length, each for outputs of its own.
    """

    value: ir.Value
    writes: int | None
    reads: int | None
    blocks: int = 1


class OpRule:
    """What is known of one operator family. Rules have no state; a table lists them.

    Attributes:
        ops: the operators and versions it holds for.
        activation: a non-linearity; activation statistics are taken after it.
    """

    ops: ClassVar[tuple[OpId, ...]]
    activation: ClassVar[bool] = False

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """States how the channels of inputs, weights and outputs relate."""
        raise NotImplementedError

    def rewrite(self, node: ir.Node, kept: "Kept") -> None:
        """Mends attributes and shape operands of `node`, which already lies in the cut graph."""

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns the multiply-accumulates of one run."""
        return 0

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the weights that write or read channels, if the operator has any."""
        return ()

    def product(self, node: ir.Node) -> Product | None:
        """Returns the node as a product whose weight can be fitted anew, if it is one."""
        return None

    def scale(self, node: ir.Node) -> ir.Value | None:
        """Returns the vector that a normalisation multiplies its channels by, if it is one."""
        return None

    def blocked_axes(self, node: ir.Node) -> tuple[tuple[str, int], ...]:
        """Returns the (tensor, axis) computed in blocks, whose widths want aligning."""
        return ()

    def zeroes(self, node: ir.Node) -> bool:
        """Returns whether the output is exactly 0 on a half-line of inputs, never below 0."""
        return False
