"""What a set of removed units leaves of every axis."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from onnxtrim.channels.relations import Ids

__all__ = ["Kept"]


@dataclass(frozen=True, slots=True)
class Kept:
    """The positions that stay, axis by axis, for one set of removed units.

    Attributes:
        axes: the unit of every position, by (tensor, axis); the arrays of a `ChannelMap`.
        stays: whether a unit stays, (units,) bool.
    """

    axes: Mapping[tuple[str, int], Ids]
    stays: npt.NDArray[np.bool_]
    _ranks: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Indexes the axes by tensor."""
        ranks: dict[str, list[int]] = {}
        for name, axis in self.axes:
            ranks.setdefault(name, []).append(axis)
        object.__setattr__(self, "_ranks", ranks)

    def indices(self, tensor: str, axis: int) -> Ids | None:
        """Returns the positions that stay on an axis; None where all of them do."""
        units = self.axes.get((tensor, axis))
        if units is None:
            return None
        stays = self.stays[units]
        return None if stays.all() else np.flatnonzero(stays)

    def mask(self, tensor: str, axis: int) -> npt.NDArray[np.bool_] | None:
        """Returns which positions of an axis stay; None where it carries no units."""
        units = self.axes.get((tensor, axis))
        return None if units is None else self.stays[units]

    def cut_axes(self, tensor: str) -> dict[int, Ids]:
        """Returns the axes of a tensor that lose positions, with the positions that stay."""
        found = {axis: self.indices(tensor, axis) for axis in sorted(self._ranks.get(tensor, ()))}
        return {axis: indices for axis, indices in found.items() if indices is not None}

    def size(self, tensor: str, axis: int, full: int) -> int:
        """Returns how many of `full` positions stay on an axis."""
        units = self.axes.get((tensor, axis))
        return full if units is None else int(np.count_nonzero(self.stays[units]))

    def shapes(self, full: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Returns the sizes of every tensor after the cut, from those before it."""
        shapes = dict(full)
        for name, axes in self._ranks.items():
            if name in shapes:
                sizes = list(shapes[name])
                for axis in axes:
                    sizes[axis] = self.size(name, axis, sizes[axis])
                shapes[name] = tuple(sizes)
        return shapes
