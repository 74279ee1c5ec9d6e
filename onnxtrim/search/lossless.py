"""Units that never vary where they are read: what they are fits into biases, and nothing is lost.

A unit goes if every feature that every reader has of it has the same value on all of the data. At
the border of a padded convolution a value that is not 0 meets zeros, so that it does vary there. A
reader whose features are not known lets a unit go only if it is 0 throughout.
"""

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration import Measurements
from onnxtrim.channels import ChannelGroup, WeightRead
from onnxtrim.channels.ops import product_of
from onnxtrim.config import PruneConfig
from onnxtrim.errors import BudgetError
from onnxtrim.search.trials import Bench
from onnxtrim.selection import Alignment, Choice, Queue, ladders

__all__ = ["constant_units"]

_STILL = 1e-12
"""A variance relative to the largest second moment of a reader, below which there is none."""


def constant_units(
    bench: Bench, found: Measurements | None, config: PruneConfig, alignment: Alignment
) -> Choice:
    """Returns the units that never vary, as far as they fill the steps of an alignment.

    Raises:
        BudgetError: there are none.
    """
    queues, wanted = {}, []
    for group in bench.channel_map.groups:
        still = _still(bench, group, found)
        order = np.argsort(~still, kind="stable")
        queues[group.name] = Queue(group.units[order], (~still[order]).astype(np.float64))
        wanted.append(max(1, group.width - int(still.sum())))
    (ladder,) = ladders(bench.channel_map, queues, bench.subject.costs, config, (alignment,))
    removed = ladder.removed(ladder.feasible(wanted))
    if not removed.size:
        raise BudgetError(
            "--lossless: every channel varies on the data, or too few do not to fill a step of "
            f"{alignment.step} channels; give a budget instead, or --align none"
        )
    return Choice(removed, alignment)


def _still(bench: Bench, group: ChannelGroup, found: Measurements | None) -> npt.NDArray[np.bool_]:
    """Returns which units of a group never vary for any of their readers, (units,)."""
    still = np.full(group.width, bool(group.readers))
    for read in group.readers:
        still &= _still_for(bench, group, read, found)
    return still


def _still_for(
    bench: Bench, group: ChannelGroup, read: WeightRead, found: Measurements | None
) -> npt.NDArray[np.bool_]:
    """Returns which units of a group never vary for one reader, (units,)."""
    axes, width = bench.channel_map.axes, group.width
    product = product_of(bench.subject.model, read.tensor)
    if product is not None and read.tensor in bench.moments:
        moments = bench.moments[read.tensor]
        variance = np.diagonal(moments.covariance, axis1=1, axis2=2)
        largest = float((variance + moments.mean**2).max())
        features = product.features(group.positions(axes, read.tensor, read.axis))
        return np.asarray(variance[:, features].max(axis=(0, 2)) <= _STILL * largest)
    if read.source is None or found is None:
        return np.zeros(width, dtype=np.bool_)
    place = read.source.tensor, read.source.axis
    square = found.statistics.get(place, {}).get("square")
    if square is None:
        return np.zeros(width, dtype=np.bool_)
    return np.asarray((square[group.positions(axes, *place)] == 0).all(axis=1))
