"""Models side by side on the same batches, and moments of what their products read."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of, run

from onnxtrim.calibration import input_specs, open_data
from onnxtrim.calibration import tapped as room
from onnxtrim.calibration.tapped import Tapped, places_of, second_moments
from onnxtrim.channels.ops import products_of
from onnxtrim.config import DataConfig
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import with_outputs

RNG = np.random.default_rng(31)
NET = (
    '<ir_version: 8, opset_import: ["": 17]> g (float[{n},2,5,5] x) => (float[{n},3,5,5] y) '
    "{{ a = Conv <pads = [1, 1, 1, 1]> (x, w1) b = Relu (a) y = Conv (b, w2) }}"
)
WEIGHTS: Arrays = {
    "w1": RNG.normal(size=(4, 2, 3, 3)).astype("f4"),
    "w2": RNG.normal(size=(3, 4, 1, 1)).astype("f4"),
}
X = RNG.normal(size=(10, 2, 5, 5)).astype("f4")


def model(size: int | str = "N") -> ir.Model:
    return normalize(load(proto_of(NET.format(n=size), WEIGHTS)))


def read(found: ir.Model, rows: list[tuple[int, list[Arrays]]], name: str, place: int) -> Arrays:
    return {name: np.concatenate([tensors[place][name] for _, tensors in rows])}


@pytest.mark.parametrize("size", ["N", 4])
def test_tensors_are_those_of_the_real_samples_alone(size: int | str) -> None:
    found = model(size)
    data = open_data({"x": X}, input_specs(found), DataConfig())
    rows = list(Tapped([(found, ["b", "x"]), (found, ["y"])], data, batch_size=4))
    assert [count for count, _ in rows] == [4, 4, 2]
    wanted = run(with_outputs(model(), ["b"]), {"x": X})
    for name, place in (("b", 0), ("x", 0), ("y", 1)):
        whole = {**wanted, "x": X}[name]
        np.testing.assert_allclose(read(found, rows, name, place)[name], whole, atol=1e-5)


def test_moments_are_those_of_all_windows() -> None:
    found, few = model(), X[:5]  # so few that all positions are looked at
    data = open_data({"x": few}, input_specs(found), DataConfig())
    moments = second_moments(found, products_of(found), data, batch_size=3)
    b = run(with_outputs(found, ["b"]), {"x": few})["b"].astype("f8")
    flat = b.transpose(0, 2, 3, 1).reshape(-1, 4)
    assert moments.keys() == {"w1", "w2"}
    np.testing.assert_allclose(moments["w2"].covariance[0], np.cov(flat.T, bias=True), rtol=1e-4)
    assert (moments["w2"].count, moments["w2"].samples) == (125, 5)
    padded = np.pad(few.astype("f8"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    flat = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 18)
    np.testing.assert_allclose(moments["w1"].mean[0], flat.mean(0), rtol=1e-5, atol=1e-6)


def test_wide_products_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_FEATURES", 10)
    found = model()
    data = open_data({"x": X}, input_specs(found), DataConfig())
    assert second_moments(found, products_of(found), data).keys() == {"w2"}
    assert second_moments(found, products_of(found)[:1], data) == {}


def test_as_many_positions_are_looked_at_as_make_enough_rows() -> None:
    """48 rows a feature: of 18 features 864, which 100 samples make at 9 of 25 positions."""
    found = model()
    data = open_data({"x": np.repeat(X, 10, axis=0)}, input_specs(found), DataConfig())
    first, second = products_of(found)
    rng = np.random.default_rng(0)
    assert len(places_of(first, (1, 4, 5, 5), data, rng)) == 9
    assert len(places_of(second, (1, 3, 5, 5), data, rng)) == 4  # 192 rows want 2
    few = open_data({"x": X[:2]}, input_specs(found), DataConfig())
    np.testing.assert_array_equal(places_of(first, (1, 4, 5, 5), few, rng), np.arange(25))
