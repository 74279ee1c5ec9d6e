"""Network Slimming: training adds the sizes of BatchNormalization scales to the loss.

Scales of channels that matter little go towards 0, so that `--criterion bn-scale` finds them.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.losses import Slimming
from onnxtrim.finetune.twin.parameters import scales_of
from onnxtrim.graph.constants import constant

__all__ = ["size_of", "slimming_of"]


def slimming_of(student: ir.Model, config: TuneConfig) -> Slimming | None:
    """Returns what is added to the loss of a normalised model; None where nothing is asked for.

    Raises:
        UsageError: it has no BatchNormalization.
    """
    if not config.slim:
        return None
    scales = scales_of(student)
    if not scales:
        raise UsageError(
            f"--slim {config.slim:g}: the model has no BatchNormalization with scales of float32; "
            "where it is folded into the convolutions, export the model unfused (torch.onnx.export "
            "with training=TrainingMode.PRESERVE and do_constant_folding=False), or leave --slim "
            "out and prune by --criterion l1"
        )
    return Slimming(scales, config.slim)


def size_of(model: ir.Model, scales: Sequence[str]) -> float:
    """Returns the sizes of scales summed up."""
    arrays = (constant(model.graph.initializers[name]) for name in scales)
    return sum(float(np.abs(a.astype(np.float64)).sum()) for a in arrays if a is not None)
