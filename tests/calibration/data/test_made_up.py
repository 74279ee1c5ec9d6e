"""Inputs for want of data: of the right type, of sizes that agree, and such that the model runs."""

import numpy as np
from oracle import proto_of

from onnxtrim.calibration import input_specs, made_up_inputs
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Arrays


def made_up(signature: str, body: str, wanted: int, **weights: tuple[int, ...]) -> Arrays:
    text = f'<ir_version: 8, opset_import: ["": 17]> g {signature} {{ {body} }}'
    arrays = {name: np.ones(shape, dtype=np.float32) for name, shape in weights.items()}
    model = normalize(load(proto_of(text, arrays)))
    return made_up_inputs(model, input_specs(model), wanted)


def test_the_batch_is_what_is_wanted_unless_the_model_fixes_it() -> None:
    assert made_up("(float[N,3] x) => (float[N,3] y)", "y = Neg (x)", 5)["x"].shape == (5, 3)
    assert made_up("(float[2,3] x) => (float[2,3] y)", "y = Neg (x)", 5)["x"].shape == (2, 3)


def test_figures_are_normal_and_whole_numbers_are_zero() -> None:
    found = made_up(
        "(float[N,300] x, int64[N,300] i) => (float[N,300] y, int64[N,300] j)",
        "y = Neg (x) j = Neg (i)",
        4,
    )
    assert found["x"].dtype == np.float32
    assert abs(float(found["x"].std()) - 1) < 0.1
    assert found["i"].dtype == np.int64
    assert not found["i"].any()


def test_sizes_of_the_name_of_the_batch_are_the_batch() -> None:
    found = made_up(
        "(float[batch,T] x, float[2,batch,8] state) => (float[batch,T] y, float[2,batch,8] z)",
        "y = Neg (x) z = Neg (state)",
        3,
    )
    assert (found["x"].shape, found["state"].shape) == ((3, 64), (2, 3, 8))


def test_a_scalar_is_one_figure() -> None:
    found = made_up(
        "(float[N,3] x, int64 rate) => (float[N,3] y, int64 z)", "y = Neg (x) z = Neg (rate)", 2
    )
    assert found["rate"].shape == ()


def test_an_open_size_is_one_that_the_model_runs_on() -> None:
    # 64 positions are too few for a kernel of 100; 256 are enough.
    found = made_up("(float[N,1,L] x) => (float[N,1,M] y)", "y = Conv (x, w)", 2, w=(1, 1, 100))
    assert found["x"].shape == (2, 1, 256)


def test_where_none_will_do_the_first_is_given() -> None:
    found = made_up("(float[N,1,L] x) => (float[N,1,M] y)", "y = Conv (x, w)", 2, w=(1, 1, 2000))
    assert found["x"].shape == (2, 1, 64)
