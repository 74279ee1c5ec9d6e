"""Which initializers training may move."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from finetune.twin.checking import behind_conv
from onnxtrim.finetune.twin.parameters import parameters_of, scales_of, statistics_of


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("body", "operands", "found"),
    [
        ("y = Conv (t, k, b)", {"k": (2, 4, 1, 1), "b": (2,)}, {"k", "b"}),
        ("u = Transpose <perm = [1, 0]> (k)  y = MatMul (t, u)", {"k": (2, 5)}, {"k"}),
        ("y = Add (t, b)", {"b": (4, 1, 1)}, {"b"}),
        ("u = Mul (t, s)  y = Add (u, b)", {"s": (4, 1, 1), "b": (4, 1, 1)}, {"s", "b"}),
        ("y = PRelu (t, s)", {"s": (4, 1, 1)}, {"s"}),
        ("y = Mul (t, mask)", {"mask": (6, 5)}, set()),
        ("u = Relu (t)  y = Add (u, c)", {"c": (4, 1, 1)}, set()),
        ("y = Conv (t, k)", {"k": (2, 4, 1, 1)}, {"k"}),
        ("u = Conv (t, k)  v = Relu (k)  y = Add (u, t)", {"k": (4, 4, 1, 1)}, {"k"}),
        ("u = Conv (t, k)  y = Conv (u, k)", {"k": (4, 4, 1, 1)}, {"k"}),
    ],
)
def test_a_parameter_is_a_weight_or_a_vector_behind_one(
    body: str, operands: dict[str, tuple[int, ...]], found: set[str]
) -> None:
    arrays = {name: ones(*shape) for name, shape in operands.items()}
    student = behind_conv(body, **arrays)
    assert set(parameters_of(student)) == {"w"} | found


def test_what_serves_as_a_constant_too_is_none() -> None:
    student = behind_conv("u = Conv (t, k)  v = ReduceSum (k)  y = Mul (u, v)", k=ones(4, 4, 1, 1))
    assert set(parameters_of(student)) == {"w"}


def test_a_bias_that_is_a_running_mean_too_is_none() -> None:
    student = behind_conv("y = BatchNormalization (t, s, b, b, v)", s=ones(4), b=ones(4), v=ones(4))
    assert set(parameters_of(student)) == {"w", "s"}
    assert statistics_of(student) == ("b", "v")


def test_quantised_weights_are_none() -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "q": np.ones((2, 4, 1, 1), np.int8),
        "scale": np.array(0.1, np.float32),
    }
    student = behind_conv("k = DequantizeLinear (q, scale)  y = Conv (t, k)", **arrays)
    assert set(parameters_of(student)) == {"w"}


def test_the_scales_of_batch_normalisations() -> None:
    norms = (
        "u = BatchNormalization (t, s, b, m, v)  n = BatchNormalization (u, s, b, m, v)"
        "  y = InstanceNormalization (n, i, b)"
    )
    student = behind_conv(norms, s=ones(4), b=ones(4), m=ones(4), v=ones(4), i=ones(4))
    assert scales_of(student) == ("s",)
    assert scales_of(behind_conv("y = Relu (t)")) == ()
