"""How latencies are gathered. How long anything takes is never asserted."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir
import pytest
from oracle import proto_of

from onnxtrim.calibration import Latency, LatencyPair, paired_latency
from onnxtrim.errors import RunError
from onnxtrim.graph import load

TEXT = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y) {y = Relu(x)}'
INPUTS = {"x": np.ones((2, 4), np.float32)}


def model_of() -> ir.Model:
    return load(proto_of(TEXT))


def parts(pair: LatencyPair) -> list[Latency]:
    return [pair.before, pair.after, pair.ratio]


def test_a_short_time_still_makes_eleven_pairs() -> None:
    pair = paired_latency(model_of(), model_of(), INPUTS, seconds=0.0)
    assert [part.runs for part in parts(pair)] == [11, 11, 11]


def test_a_long_time_makes_no_more_than_201() -> None:
    pair = paired_latency(model_of(), model_of(), INPUTS, seconds=30.0)
    assert [part.runs for part in parts(pair)] == [201, 201, 201]


@pytest.mark.parametrize("threads", [0, 1])
def test_percentiles_are_in_order_and_above_zero(threads: int) -> None:
    pair = paired_latency(model_of(), model_of(), INPUTS, threads=threads, seconds=0.0)
    for part in parts(pair):
        assert 0 < part.p10 <= part.median <= part.p90
        assert all(math.isfinite(figure) for figure in dataclasses.astuple(part))


def test_inputs_that_the_model_does_not_take_are_refused() -> None:
    with pytest.raises(RunError, match="ONNX Runtime cannot run the model"):
        paired_latency(model_of(), model_of(), {"x": np.ones((2, 5), np.float32)})


def test_neither_model_is_changed() -> None:
    model = model_of()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    paired_latency(model, model, INPUTS, seconds=0.0)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
