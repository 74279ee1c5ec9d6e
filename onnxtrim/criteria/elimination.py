"""The order in which units go where those that stay make good for them, as far as they can.

A reader computes W p + c of its features p, with covariance S (and a small ridge on its diagonal,
without which units that are alike could not be told apart). Without the features of the units in R,
the best weights for the others leave the mean squared error

    E(R) = tr W_R (L_RR)^-1 W_R'          L = S^-1

where biases take the means over. Units go one at a time, each the one that adds least to the sum of
E over readers, relative to the variance of what they make. With W and L as the units before left
them, unit u adds tr W_u (L_uu)^-1 W_u', and takes with it

    W <- W - W_u (L_uu)^-1 L_u,      L <- L - L_:u (L_uu)^-1 L_u:

exactly (Hassibi & Stork, 1993). What a unit adds never falls below what one before it added: as
scores, so that they order the units as they go. n units of b features take O(n b (n b)^2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ReaderView", "eliminated"]

Floats = npt.NDArray[np.float64]
_RIDGE = 1e-4

_FORGET = 0.25
"""Units that are gone, of those that stay, at which their zeros are no longer carried along."""


@dataclass(frozen=True, slots=True)
class ReaderView:
    """One block of a reader.

    Attributes:
        matrix: (outputs, features).
        covariance: (features, features).
        places: the features of each unit, (units, features a unit).
    """

    matrix: Floats
    covariance: Floats
    places: npt.NDArray[np.int64]


def eliminated(readers: Sequence[ReaderView]) -> Floats:
    """Returns a score for each unit, (units,): what its going adds to the error, higher = later.

    The last unit scores as the one before it.
    """
    units = len(readers[0].places)
    states = [_State(reader) for reader in readers]
    alive, scores, least = np.ones(units, dtype=np.bool_), np.zeros(units), 0.0
    gone: list[int] = []
    for _ in range(units - 1):
        left = np.flatnonzero(alive)
        costs = np.sum([state.costs(left) for state in states], axis=0)
        first = int(np.argmin(costs))
        unit, least = int(left[first]), max(least, float(costs[first]))
        alive[unit], scores[unit] = False, least
        gone.append(unit)
        for state in states:
            state.remove(unit)
        if len(gone) > _FORGET * (len(left) - 1):
            for state in states:
                state.forget(gone)
            gone = []
    scores[alive] = least
    return scores + _tiny(scores, alive)


def _tiny(scores: Floats, last: npt.NDArray[np.bool_]) -> Floats:
    """Returns what puts the unit that is left behind all others."""
    return np.where(last, np.finfo(np.float64).eps * max(float(scores.max()), 1e-300), 0.0)


class _State:
    """A reader while units go."""

    def __init__(self, reader: ReaderView) -> None:
        """Starts with all units."""
        covariance = reader.covariance
        made = float(np.einsum("of,fg,og->", reader.matrix, covariance, reader.matrix))
        ridge = _RIDGE * float(np.trace(covariance)) / max(len(covariance), 1)
        self._w = reader.matrix / np.sqrt(made if made > 0 else 1.0)
        self._l = np.linalg.inv(covariance + max(ridge, 1e-30) * np.eye(len(covariance)))
        self._places = reader.places

    def costs(self, units: npt.NDArray[np.int64]) -> Floats:
        """Returns what the going of each of some units adds, (units,)."""
        places = self._places[units]
        blocks = self._l[places[:, :, None], places[:, None, :]]
        weights = self._w[:, places].transpose(1, 2, 0)
        if places.shape[1] == 1:
            return np.asarray(np.square(weights[:, 0]).sum(axis=1) / blocks[:, 0, 0])
        return np.asarray((np.linalg.solve(blocks, weights) * weights).sum(axis=(1, 2)))

    def remove(self, unit: int) -> None:
        """Takes a unit away, and has the others make good for it."""
        mine = self._places[unit]
        gain = np.linalg.solve(self._l[np.ix_(mine, mine)], self._l[mine])
        self._w -= self._w[:, mine] @ gain
        self._l -= self._l[:, mine] @ gain
        self._w[:, mine] = 0.0
        self._l[mine], self._l[:, mine] = 0.0, 0.0

    def forget(self, units: Sequence[int]) -> None:
        """Drops the rows and columns of units that were taken away, which are all zero."""
        stay = np.ones(len(self._l), dtype=np.bool_)
        stay[self._places[units]] = False
        self._w, self._l = self._w[:, stay], self._l[np.ix_(stay, stay)]
        self._places = (np.cumsum(stay) - 1)[self._places]
