"""Trials are judged by samples that nothing was fitted to."""

from dataclasses import replace

import numpy as np
import pytest
from known import READING
from oracle import Arrays, proto_of

from onnxtrim.calibration import Judge, input_specs, open_data
from onnxtrim.config import PruneConfig
from onnxtrim.search.informed import informed
from onnxtrim.search.trials import Bench
from onnxtrim.subject import Subject, prepare
from onnxtrim.surgery.best import HELD_OUT

WIDTH, SAMPLES = 96, 80
RNG = np.random.default_rng(11)
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 96] x) => (float[N, 5] y) '
WEIGHTS: Arrays = {
    "w1": RNG.normal(size=(WIDTH, WIDTH)).astype("f4"),
    "w2": RNG.normal(size=(WIDTH, 5)).astype("f4"),
}
MODEL = proto_of(HEAD + "{ a = MatMul (x, w1) b = Relu (a) y = MatMul (b, w2) }", WEIGHTS)


def subject(count: int = SAMPLES) -> Subject:
    return prepare(MODEL, RNG.normal(size=(count, WIDTH)).astype("f4"), READING)


def bench(found: Subject) -> Bench:
    return informed(
        Bench(found, found.channel_map, None, READING), found.data, PruneConfig(macs=0.5), None
    )


def test_a_glance_sees_what_others_see_where_there_are_more_features_than_samples() -> None:
    """What few samples are fitted to is nearly made good on these, and on no others."""
    tried = bench(subject())
    fresh = RNG.normal(size=(2000, WIDTH)).astype("f4")
    model = tried.subject.model
    data = open_data(fresh, input_specs(model), READING)
    gone = tried.channel_map.groups[0].units[: WIDTH // 2]
    truth = Judge(model, data)(tried._mended(gone)).relative_error
    assert tried.glance(gone) == pytest.approx(truth, rel=0.15)
    seen = Judge(model, tried.some or data)(tried._mended(gone)).relative_error
    assert seen < 0.8 * truth  # as a glance at what was fitted would be


def test_samples_to_judge_by_are_fitted_to_by_nothing() -> None:
    tried = bench(subject())
    held_out = round(HELD_OUT * SAMPLES)
    assert {m.samples for m in tried.moments.values()} == {SAMPLES - held_out}
    assert tried.some is not None
    assert len(tried.some) == SAMPLES - held_out


def test_too_few_samples_are_both() -> None:
    tried = bench(subject(4))
    assert {m.samples for m in tried.moments.values()} == {4}
    assert tried.few is not None


def test_a_preview_is_of_the_best_way() -> None:
    """What is fitted to three samples is worse than what moments of many give."""
    tried = bench(subject())
    gone = tried.channel_map.groups[0].units[: WIDTH // 2]
    poor = replace(tried, some=subject(3).data)
    assert poor.preview(gone).relative_error == tried.glance(gone)
    alone = replace(poor, moments={})
    assert alone.preview(gone).relative_error > tried.glance(gone)
