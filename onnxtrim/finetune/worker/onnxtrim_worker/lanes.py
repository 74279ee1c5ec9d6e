"""A function that several threads compute at once, each for its share of a batch.

A gradient of this runtime keeps one core busy, however many threads it is given. So a batch is
divided, lane by lane, along its first axis. With a loss that is a mean over samples, the mean of
what equal shares give is what the whole batch gives: loss and gradients. (Normalisations by the
statistics of a batch go by those of each share; running ones become the mean of all.)
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .functions import Function

__all__ = ["Lanes"]

_ERRORS = 3
"""What the runtime reports: errors, not warnings."""

Arrays = dict[str, Any]


class Lanes:
    """A function, ready to run.

    Args:
        function: of weights and a share of a batch.
        count: how many shares there are.
        threads: of all of them; 0 takes all there are.
    """

    def __init__(self, function: Function, count: int, threads: int) -> None:
        """Makes the session, which all lanes share."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, (threads or _cores()) // count)
        options.log_severity_level = _ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = function.model.SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options)
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = function.outputs
        self._statistics = set(function.statistics)
        self._layouts = function.layouts
        self._pool = ThreadPoolExecutor(count)
        self._count = count

    def __call__(self, weights: Mapping[str, Any], arrays: Mapping[str, Any]) -> Arrays:
        """Returns every output by name, the mean of all lanes.

        Args:
            weights: by name, which no lane changes.
            arrays: inputs and targets by name; with several lanes, samples on their first axes.
        """
        laid_out = self._pool.map(
            lambda each: weights[each.weight].ravel()[each.places], self._layouts.values()
        )
        known = {**weights, **dict(zip(self._layouts, laid_out, strict=True))}
        shares = [self._feeds(known, arrays, lane) for lane in range(self._count)]
        found = list(self._pool.map(self._run, shares))
        return {name: _mean([each[name] for each in found]) for name in self._outputs}

    def _run(self, feeds: Arrays) -> Arrays:
        """Returns every output of one lane."""
        return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))

    def _feeds(self, weights: Mapping[str, Any], arrays: Mapping[str, Any], lane: int) -> Arrays:
        """Returns what one lane is fed; of statistics copies, since the runtime writes there."""
        found: Arrays = {}
        for name in self._inputs:
            if name in self._statistics:
                found[name] = weights[name].copy()
            elif name in weights:
                found[name] = weights[name]
            else:
                size = len(arrays[name]) // self._count if self._count > 1 else None
                share = slice(lane * size, (lane + 1) * size) if size else ...
                found[name] = arrays[name][share]
        return found


def _mean(arrays: list[Any]) -> Any:  # noqa: ANN401
    """Returns the mean of arrays; of one, that one."""
    if len(arrays) == 1:
        return arrays[0]
    total = arrays[0] + arrays[1]
    for array in arrays[2:]:
        total += array
    return total * np.float32(1 / len(arrays))


def _cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
