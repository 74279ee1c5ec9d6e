"""Scores of different groups made comparable, and the order in which units go.

`layer-mean`  s / mean(s), as in gradually global pruning (Wang et al. 2017)
`max`         s / max(s)
`gaussian`    (s - mean(s)) / std(s)
`none`        s
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from onnxtrim.config import Normalization, Scope

__all__ = ["NORMALIZATIONS", "removal_keys"]

Scores = npt.NDArray[np.float64]


def _by_mean(scores: Scores) -> Scores:
    """Returns scores with a mean of 1; scores that are all 0 stay 0."""
    return _divided(scores, float(np.mean(scores)))


def _by_max(scores: Scores) -> Scores:
    """Returns scores with a maximum of 1; scores that are all 0 stay 0."""
    return _divided(scores, float(np.max(scores)))


def _gaussian(scores: Scores) -> Scores:
    """Returns scores with a mean of 0 and a deviation of 1; scores that are all alike become 0."""
    if np.ptp(scores) == 0:  # their mean may be off by rounding, which is no deviation
        return np.zeros_like(scores)
    return _divided(scores - np.mean(scores), float(np.std(scores)))


def _as_is(scores: Scores) -> Scores:
    """Returns the scores."""
    return scores


def _divided(scores: Scores, by: float) -> Scores:
    """Returns scores / by, or the scores where that would divide by 0."""
    return scores / by if by != 0 else scores


NORMALIZATIONS: Mapping[Normalization, Callable[[Scores], Scores]] = {
    "layer-mean": _by_mean,
    "max": _by_max,
    "gaussian": _gaussian,
    "none": _as_is,
}


def removal_keys(scores: Scores, scope: Scope, normalization: Normalization) -> Scores:
    """Returns a key for each unit of a group, (units,): units go in ascending order of keys.

    Globally the key is the normalised score. Layer by layer it is the share of the group that is
    gone once the unit is: the unit of rank r (from 1) among w gets r / w.
    """
    if scope == "global":
        return NORMALIZATIONS[normalization](scores)
    order = np.argsort(scores, kind="stable")
    keys = np.empty(len(scores))
    keys[order] = np.arange(1, len(scores) + 1) / len(scores)
    return keys
