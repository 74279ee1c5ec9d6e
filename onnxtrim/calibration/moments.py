"""Second moments of what products read, and of what that goes with: the sums of least squares.

With the rows p (features) of a product, and perhaps targets t (outputs), block by block,

    n = number of rows,   s = sum of p,   S = sum of p p',   u = sum of t,   U = sum of p t'

from which means, covariances and regressions follow. All sums are float64.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Moments"]

Floats = npt.NDArray[np.float64]

_ALIKE = 32
"""Rows of one sample that tell as much as all of its rows, which are much alike."""


@dataclass(slots=True)
class Moments:
    """Sums over rows, block by block; adding rows is all that changes them.

    Attributes:
        count: how many rows.
        samples: of how many samples.
        first: of features, (blocks, features).
        second: of products of features, (blocks, features, features).
        target: of targets, (blocks, outputs); None where there are none.
        cross: of features times targets, (blocks, features, outputs).
        target_second: of squares of targets, (blocks, outputs).
    """

    count: float = 0.0
    samples: float = 0.0
    first: Floats | None = None
    second: Floats | None = None
    target: Floats | None = None
    cross: Floats | None = None
    target_second: Floats | None = None

    def add(
        self,
        rows: npt.NDArray[Any],
        targets: npt.NDArray[Any] | None = None,
        samples: int | None = None,
    ) -> None:
        """Adds rows, (rows, blocks, features), and targets, (rows, blocks, outputs).

        Args:
            rows: the features.
            targets: what they shall make.
            samples: of how many samples the rows are; of as many as rows by default.
        """
        self.samples += len(rows) if samples is None else samples
        p = np.ascontiguousarray(rows.swapaxes(0, 1), dtype=np.float64)
        self.count += len(rows)
        self.first = _plus(self.first, p.sum(axis=1))
        self.second = _plus(self.second, p.swapaxes(1, 2) @ p)
        if targets is not None:
            self.aim(p.swapaxes(0, 1), targets)

    def aim(self, rows: npt.NDArray[Any], targets: npt.NDArray[Any]) -> None:
        """Adds the targets, (rows, blocks, outputs), of rows whose own sums are known."""
        p = np.ascontiguousarray(rows.swapaxes(0, 1), dtype=np.float64)
        t = np.ascontiguousarray(targets.swapaxes(0, 1), dtype=np.float64)
        self.target = _plus(self.target, t.sum(axis=1))
        self.cross = _plus(self.cross, p.swapaxes(1, 2) @ t)
        self.target_second = _plus(self.target_second, np.square(t).sum(axis=1))

    def without_targets(self) -> "Moments":
        """Returns the same of features alone; their sums are shared, so that no rows may come."""
        return replace(self, target=None, cross=None, target_second=None)

    @property
    def independent(self) -> float:
        """Returns how many of the rows count as independent: `_ALIKE` of a sample at most."""
        return min(self.count, _ALIKE * self.samples)

    @property
    def power(self) -> Floats:
        """Returns the mean square of the features of each block, (blocks,)."""
        return np.asarray(np.diagonal(self.square, axis1=1, axis2=2).mean(axis=1))

    @property
    def mean(self) -> Floats:
        """Returns the mean of each feature, (blocks, features)."""
        return _known(self.first) / self.count

    @property
    def covariance(self) -> Floats:
        """Returns the covariance of features, (blocks, features, features)."""
        mean = self.mean
        return self.square - mean[:, :, None] * mean[:, None, :]

    @property
    def square(self) -> Floats:
        """Returns the mean of products of features, (blocks, features, features)."""
        return _known(self.second) / self.count

    @property
    def target_square(self) -> Floats:
        """Returns the mean of products of features and targets, (blocks, features, outputs)."""
        return _known(self.cross) / self.count

    @property
    def target_mean(self) -> Floats:
        """Returns the mean of each target, (blocks, outputs)."""
        return _known(self.target) / self.count

    @property
    def target_covariance(self) -> Floats:
        """Returns the covariance of features and targets, (blocks, features, outputs)."""
        return self.target_square - self.mean[:, :, None] * self.target_mean[:, None, :]

    @property
    def target_variance(self) -> Floats:
        """Returns the variance of each target, (blocks, outputs)."""
        return np.maximum(_known(self.target_second) / self.count - self.target_mean**2, 0.0)


def _plus(total: Floats | None, more: npt.NDArray[Any]) -> Floats:
    """Returns a sum that may be empty yet, plus something."""
    if total is None:
        return more.astype(np.float64)
    total += more
    return total


def _known(total: Floats | None) -> Floats:
    """Returns a sum.

    Raises:
        ValueError: nothing was added.
    """
    if total is None:
        raise ValueError("no rows were added")
    return total
