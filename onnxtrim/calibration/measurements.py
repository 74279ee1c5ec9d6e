"""What was measured: per-channel statistics in float64, and on what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.moments import Moments

__all__ = ["Measurements", "Statistic"]

Statistic = Literal["zeros", "mean", "square", "magnitude"]
"""What is measured of the elements x of a channel, over all samples and positions.

`zeros` is the share of them that are 0 (below 1e-38 in size), `mean` the mean of x, `square` the
mean of x * x (the second moment), `magnitude` the mean of |x|.
"""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Statistics of activations over calibration data.

    Attributes:
        statistics: (channels,) float64 by (tensor, axis) and statistic, over samples and positions.
        samples: how many samples were measured.
        fingerprint: SHA-256 of the data.
        moments: of what products read, by their weights.
    """

    statistics: Mapping[tuple[str, int], Mapping[Statistic, npt.NDArray[np.float64]]]
    samples: int
    fingerprint: str
    moments: Mapping[str, Moments] = field(default_factory=dict)
