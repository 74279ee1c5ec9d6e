"""How long two models take, measured in pairs on this machine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Latency", "LatencyPair", "paired_latency"]

_WARM_UP = 3
_FEWEST, _MOST = 11, 201


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds a run: the median, the 10th and 90th percentile, and how many runs."""

    median: float
    p10: float
    p90: float
    runs: int


@dataclass(frozen=True, slots=True)
class LatencyPair:
    """Two models, and the ratio after / before of runs made back to back."""

    before: Latency
    after: Latency
    ratio: Latency


def paired_latency(
    before: ir.Model, after: ir.Model, inputs: Arrays, *, threads: int = 0, seconds: float = 2.0
) -> LatencyPair:
    """Returns latencies on `inputs`, from alternating runs for about `seconds` in all.

    Each pair of runs sees the same state of the machine, so the ratio is steadier than either
    latency; its spread says how steady.
    """
    runners = Runner(before, threads=threads), Runner(after, threads=threads)
    for _ in range(_WARM_UP):
        for runner in runners:
            runner(inputs)
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < _FEWEST or (time.perf_counter() < end and len(pairs) < _MOST):
        first = len(pairs) % 2  # neither model is always the one that runs on a cold cache
        times = {i: _milliseconds(runners[i], inputs) for i in (first, 1 - first)}
        pairs.append((times[0], times[1]))
    table = np.array(pairs)
    return LatencyPair(
        _summary(table[:, 0]), _summary(table[:, 1]), _summary(table[:, 1] / table[:, 0])
    )


def _milliseconds(runner: Runner, inputs: Mapping[str, npt.NDArray[np.generic]]) -> float:
    """Returns how long one run takes."""
    start = time.perf_counter()
    runner(inputs)
    return (time.perf_counter() - start) * 1e3


def _summary(values: npt.NDArray[np.float64]) -> Latency:
    """Returns median, spread and count."""
    p10, median, p90 = np.percentile(values, [10, 50, 90])
    return Latency(float(median), float(p10), float(p90), len(values))
