"""What a criterion is, and the view of a group that it scores.

A criterion sees aligned arrays, one row a unit, and never an operator type. Higher = keep.

A group has several *members*: the weights that write it, say, or those that read it. A criterion
gives every member a row of scores; `reduction.py` makes one row of them. Activations are pooled
before that: a group that runs through several activations (a residual stream) has the mean of each
statistic over its post-activation taps, as if all of them were samples of one tensor.
"""

import enum
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.channels import ChannelGroup, ChannelMap, Tap, WeightRead, WeightUse
from onnxtrim.channels.ops import product_of
from onnxtrim.criteria.elimination import ReaderView
from onnxtrim.graph.fold import constant_array

__all__ = ["Criterion", "GroupView", "Needs", "Reading", "Rows", "Scores"]

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float64]


class Needs(enum.Flag):
    """What a criterion looks at: weights, the group's activations, what its readers are fed."""

    NOTHING = 0
    WEIGHTS = enum.auto()
    ACTIVATIONS = enum.auto()
    INPUTS = enum.auto()
    GRADIENTS = enum.auto()

    @property
    def data(self) -> bool:
        """Whether it takes calibration data."""
        return bool(self & (Needs.ACTIVATIONS | Needs.INPUTS | Needs.GRADIENTS))


class Criterion:
    """A rule that gives each unit of a group a score.

    Attributes:
        name: what `--criterion` calls it.
        needs: what it looks at.
        statistics: the activation statistics it needs.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]
    statistics: ClassVar[tuple[Statistic, ...]] = ()

    def score(self, group: "GroupView") -> Rows:
        """Returns a figure for each unit and member, (members, units) float64; higher = keep."""
        raise NotImplementedError

    def unfit(self, group: "GroupView") -> str | None:
        """Returns why the criterion means nothing in a group, None where it does."""
        if self.needs & Needs.ACTIVATIONS and not group.group.taps:
            return "nothing of it can be measured"
        if self.needs & Needs.INPUTS and not group.measured_readers():
            return "no weight reads it"
        return None

    def taps(self, group: ChannelGroup) -> Iterator[Tap]:
        """Yields where the statistics are to be measured."""
        if self.needs & Needs.ACTIVATIONS:
            yield from group.taps
        if self.needs & Needs.INPUTS:
            yield from (read.source for read in group.readers if read.source is not None)


@dataclass(frozen=True, slots=True)
class Reading:
    """A weight that consumes a group, and what it is fed.

    A unit has several places behind a Flatten. It has a channel in every block of a grouped
    convolution, and the blocks make outputs of their own; elsewhere there is one block.

    Attributes:
        weight: (units, places, blocks, outputs, kernel).
        statistics: (units, places, blocks, 1, 1) of each statistic of what the weight multiplies.
    """

    weight: Rows
    statistics: Mapping[Statistic, Rows]


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

    def scales(self) -> list[Rows]:
        """Returns what normalisations multiply each unit by, (units, places), one by one."""
        return self._weights(self.group.scales)

    def stats(self, statistic: Statistic) -> Scores:
        """Returns a statistic of each unit, (units,): its mean over taps and positions.

        Raises:
            ValueError: it was not measured.
        """
        taps = [self._measured(tap, statistic).mean(axis=1) for tap in self.group.taps]
        return np.asarray(np.mean(taps, axis=0), dtype=np.float64)

    def measured_readers(self) -> list[tuple[WeightRead, Tap]]:
        """Returns the weights that consume the units, with where what they are fed is measured."""
        return [(read, read.source) for read in self.group.readers if read.source is not None]

    def readings(self, *statistics: Statistic) -> list[Reading]:
        """Returns the weights that consume each unit, with `statistics` of what they are fed.

        Raises:
            ValueError: a statistic was not measured.
        """
        return [self._reading(read, tap, statistics) for read, tap in self.measured_readers()]

    def reader_views(self) -> list[ReaderView]:
        """Returns each block of the readers that it is known what they read together."""
        moments = self.measurements.moments if self.measurements is not None else {}
        found = []
        for read in self.group.readers:
            product = product_of(self.model, read.tensor)
            if product is None or read.tensor not in moments or product.axes[1] != read.axis:
                continue
            places = self.group.positions(self.channel_map.axes, read.tensor, read.axis)
            matrix = product.matrix(constant_array(self.model, read.tensor))
            covariance, features = moments[read.tensor].covariance, product.features(places)
            found += [ReaderView(*each, features) for each in zip(matrix, covariance, strict=True)]
        return found

    def rng(self) -> np.random.Generator:
        """Returns a generator that depends on the seed and the name of the group alone."""
        return np.random.default_rng([self.seed, zlib.crc32(self.group.name.encode())])

    def _measured(self, tap: Tap, statistic: Statistic) -> Rows:
        """Returns a statistic at a tap, (units, positions a unit)."""
        found = self.measurements.statistics if self.measurements is not None else {}
        values = found.get((tap.tensor, tap.axis), {}).get(statistic)
        if values is None:
            raise ValueError(f"{statistic} of {tap.tensor} was not measured")
        return values[self.group.positions(self.channel_map.axes, tap.tensor, tap.axis)]

    def _weights(self, uses: Sequence[WeightUse]) -> list[Rows]:
        """Returns the weights behind `uses` with the units' positions in front."""
        rows = []
        for use in uses:
            array = np.moveaxis(constant_array(self.model, use.tensor), use.axis, 0)
            places = self.group.positions(self.channel_map.axes, use.tensor, use.axis)
            rows.append(array[places].astype(np.float64).reshape(self.group.width, -1))
        return rows

    def _reading(self, read: WeightRead, tap: Tap, statistics: Sequence[Statistic]) -> Reading:
        """Returns a reading weight with `statistics` at `tap`, block by block."""
        places = self.group.axes[read.tensor, read.axis]
        blocks = self.group.axes[tap.tensor, tap.axis] // places
        fed = (self.group.width, blocks, places, 1, 1)
        rows = {s: self._measured(tap, s).reshape(fed).swapaxes(1, 2) for s in statistics}
        weight = self._read_weight(read)
        return Reading(weight.reshape(*weight.shape[:2], blocks, -1, weight.shape[-1]), rows)

    def _read_weight(self, read: WeightRead) -> Rows:
        """Returns a reading weight as (units, places, outputs, kernel).

        Axes in front of those two stack products of their own (heads, directions), and so does
        every axis of a weight without outputs; axes behind them are summed over, as a kernel's.
        """
        array = constant_array(self.model, read.tensor)
        if read.outputs is None:
            made = [axis for axis in range(array.ndim) if axis != read.axis]
        else:
            made = [*range(min(read.axis, read.outputs)), read.outputs]
        array = np.moveaxis(array, (read.axis, *made), range(1 + len(made)))
        places = self.group.positions(self.channel_map.axes, read.tensor, read.axis)
        outputs = math.prod(array.shape[1 : 1 + len(made)])
        return array[places].astype(np.float64).reshape(*places.shape, outputs, -1)
