"""Dropout outside of training, which is nothing at all; its gradient asks for the mask."""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant

__all__ = ["dropout"]

_MODE = 2


def dropout(site: Site) -> ir.Value | None:
    """Returns x; None where it may be in training."""
    mode = site.operand(_MODE)
    known = constant(mode)
    if mode is not None and (known is None or known.any()):
        return None
    return site.add("Identity", site.x)
