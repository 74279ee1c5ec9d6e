"""The scale of a batch normalisation, worked out by hand."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import Arrays
from views import STREAM, STREAM_WEIGHTS, view_of

from onnxtrim.criteria.bn_scale import BnScale

# A residual stream of 3 channels that is normalised where it is written, twice.
NORMALISED = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 1, 4, 4] y) {
  [stem] a0 = Conv(x, w0)
  [norm0] n0 = BatchNormalization(a0, gamma0, beta, mean, var)
  [relu0] r0 = Relu(n0)
  [out] a1 = Conv(r0, w1)
  [inner] b1 = Relu(a1)
  [back] c1 = Conv(b1, v1)
  [norm1] n1 = BatchNormalization(c1, gamma1, beta, mean, var)
  [add] s = Add(n1, r0)
  [last] y = Conv(s, row)
}"""  # noqa: E501
# One that follows a Flatten: a unit has two places there.
FLAT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 1] y) {
  [make] a = Conv(x, w)
  [flat] f = Flatten(a)
  [norm] n = BatchNormalization(f, gamma, beta, mean, var)
  [last] y = Gemm(n, row)
}"""


def vectors(width: int, **scales: list[float]) -> Arrays:
    """Returns scales, and what else normalisations of that width take."""
    rest: dict[str, npt.NDArray[Any]] = {
        "beta": np.full(width, 7, np.float32),
        "mean": np.full(width, 8, np.float32),
        "var": np.full(width, 9, np.float32),
    }
    return rest | {name: np.array(row, np.float32) for name, row in scales.items()}


def test_each_normalisation_of_a_residual_stream_has_a_row() -> None:
    weights = vectors(3, gamma0=[1, -2, 0], gamma1=[-0.5, 0, 4])
    for name in ("w0", "w1", "v1"):
        weights[name] = STREAM_WEIGHTS[name]
    weights["row"] = np.ones((1, 3, 1, 1), np.float32)
    view = view_of(NORMALISED, weights, "stem")
    assert BnScale().unfit(view) is None
    assert BnScale().score(view).tolist() == [[1, 2, 0], [0.5, 0, 4]]


def test_several_places_of_a_unit_are_averaged() -> None:
    weights = vectors(6, gamma=[1, -3, 0, 0.5, 4, 4])
    weights |= {"w": np.ones((3, 2, 1, 1), np.float32), "row": np.ones((6, 1), np.float32)}
    assert BnScale().score(view_of(FLAT, weights, "make")).tolist() == [[2, 0.25, 4]]


@pytest.mark.parametrize("group", ["stem", "out1"])
def test_without_a_normalisation_it_means_nothing(group: str) -> None:
    view = view_of(STREAM, STREAM_WEIGHTS, group)
    assert BnScale().unfit(view) == "no batch normalisation scales it"


def test_what_a_normalisation_scales_elsewhere_counts_there_alone() -> None:
    weights = vectors(3, gamma0=[1, 2, 3], gamma1=[4, 5, 6])
    for name in ("w0", "w1", "v1"):
        weights[name] = STREAM_WEIGHTS[name]
    weights["row"] = np.ones((1, 3, 1, 1), np.float32)
    assert BnScale().unfit(view_of(NORMALISED, weights, "out")) is not None
