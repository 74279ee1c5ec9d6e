"""What a criterion is, and the view of a group that it scores.

A criterion sees aligned arrays, one row a unit, and never an operator type. Higher = keep.
"""

import enum
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.channels import ChannelGroup, ChannelMap, WeightUse
from onnxtrim.graph.fold import constant_array

__all__ = ["Criterion", "GroupView", "Needs", "Rows", "Scores", "average"]

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float64]


class Needs(enum.Enum):
    """What a criterion looks at."""

    NOTHING = "nothing"
    WEIGHTS = "weights"
    ACTIVATIONS = "activations"


class Criterion:
    """A rule that gives each unit of a group a score.

    Attributes:
        name: what `--criterion` calls it.
        needs: what it looks at.
        statistics: the activation statistics it needs.
        wants_zeroes: it means little where no activation has a half-line of zeros.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]
    statistics: ClassVar[tuple[Statistic, ...]] = ()
    wants_zeroes: ClassVar[bool] = False

    def score(self, group: "GroupView") -> Scores:
        """Returns a figure for each unit, (units,) float64; higher = keep."""
        raise NotImplementedError


def average(parts: Sequence[Scores]) -> Scores:
    """Returns the mean of several scores of the same units, (units,)."""
    return np.asarray(np.mean(parts, axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group as arrays with a row a unit; nothing in it is shared with the model.

    Attributes:
        group: the group.
        channel_map: the map it belongs to.
        model: the normalised model, for its weights.
        measurements: what was measured, if anything.
        seed: the seed of the run.
    """

    group: ChannelGroup
    channel_map: ChannelMap
    model: ir.Model
    measurements: Measurements | None
    seed: int

    def writers(self) -> list[Rows]:
        """Returns the weights that make each unit, (units, weights a unit), writer by writer."""
        return self._weights(self.group.writers)

    def readers(self) -> list[Rows]:
        """Returns the weights that consume each unit, (units, weights a unit), reader by reader."""
        return self._weights(self.group.readers)

    def stats(self, statistic: Statistic) -> list[Scores]:
        """Returns a statistic of each unit, (units,), tap by tap.

        Where a unit has several positions on the tapped axis it gets their mean.

        Raises:
            ValueError: it was not measured.
        """
        if self.measurements is None:
            raise ValueError(f"{statistic} was not measured")
        rows = []
        for tap in self.group.taps:
            values = self.measurements.statistics[tap.tensor, tap.axis][statistic]
            places = self.group.positions(self.channel_map.axes, tap.tensor, tap.axis)
            rows.append(values[places].mean(axis=1))
        return rows

    def rng(self) -> np.random.Generator:
        """Returns a generator that depends on the seed and the name of the group alone."""
        return np.random.default_rng([self.seed, zlib.crc32(self.group.name.encode())])

    def _weights(self, uses: Sequence[WeightUse]) -> list[Rows]:
        """Returns the weights behind `uses` with the units' positions in front."""
        rows = []
        for use in uses:
            array = np.moveaxis(constant_array(self.model, use.tensor), use.axis, 0)
            places = self.group.positions(self.channel_map.axes, use.tensor, use.axis)
            rows.append(array[places].astype(np.float64).reshape(self.group.width, -1))
        return rows
