"""Every operator that is said to have a gradient, against finite differences."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from finetune.twin.checking import (
    Gradients,
    assert_close,
    assert_gradients,
    behind_conv,
    differences,
    inputs_of,
)
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import twin_of
from onnxtrim.finetune.twin.gradients import FLOWS
from onnxtrim.graph.shapes import pinned

CASES = {
    "Abs": "y = Abs (t)",
    "Add": "u = Sigmoid (t)  y = Add (t, u)",
    "Cast": "y = Cast <to = 1> (t)",
    "Clip": "y = Clip (t, low, high)",
    "Clip, one bound": "y = Clip (t, , high)",
    "Concat": "u = Exp (t)  y = Concat <axis = 1> (t, u)",
    "Conv": "y = Conv <pads = [1, 1, 1, 1]> (t, k, bias)",
    "Conv, SAME_UPPER": 'y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (t, k, bias)',
    "Conv, dilated": "y = Conv <dilations = [2, 1]> (t, k)",
    "Conv, grouped": "y = Conv <group = 2> (t, g)",
    "Conv, depthwise": "y = Conv <group = 4> (t, d)",
    "Cos": "y = Cos (t)",
    "Div": "u = Exp (t)  v = Add (u, high)  y = Div (t, v)",
    "Erf": "y = Erf (t)",
    "Exp": "y = Exp (t)",
    "Expand": "u = ReduceMean (t, space)  y = Expand (u, large)",
    "Flatten": "u = Flatten (t)  y = Reshape (u, large)",
    "Gather": "y = Gather <axis = 1> (t, chosen)",
    "Gelu": "y = Gelu (t)",
    "Gelu, tanh": 'y = Gelu <approximate = "tanh"> (t)',
    "Gemm": """
        f = GlobalAveragePool (t)
        u = Flatten (f)
        v = Gemm <transB = 1, alpha = 0.5> (u, m, bias)
        y = Reshape (v, square)
    """,
    "GlobalAveragePool": "y = GlobalAveragePool (t)",
    "LeakyRelu": "y = LeakyRelu <alpha = 0.2> (t)",
    "Log": "u = Exp (t)  v = Add (u, high)  y = Log (v)",
    "LogSoftmax": "y = LogSoftmax <axis = 1> (t)",
    "MatMul": "y = MatMul (t, mm)",
    "Max": "u = Neg (t)  y = Max (t, u)",
    "MaxPool": "y = MaxPool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1]> (t)",
    "MaxPool, ceil": "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (t)",
    "Min": "u = Neg (t)  y = Min (t, u)",
    "Mul": "u = Sigmoid (t)  y = Mul (t, u)",
    "Neg": "y = Neg (t)",
    "Pad": "y = Pad (t, pads)",
    "Pow": "y = Pow (t, two)",
    "ReduceL2": "y = ReduceL2 (t, space)",
    "ReduceMean": "y = ReduceMean (t, space)",
    "ReduceSum": "y = ReduceSum (t, space)",
    "Relu": "y = Relu (t)",
    "Reshape": "y = Reshape (t, shuffled)",
    "Sigmoid": "y = Sigmoid (t)",
    "Sin": "y = Sin (t)",
    "Slice": "y = Slice (t, starts, ends, space, steps)",
    "Softmax": "y = Softmax <axis = 1> (t)",
    "Sqrt": "u = Exp (t)  y = Sqrt (u)",
    "Squeeze": "u = GlobalAveragePool (t)  v = Squeeze (u, space)  y = Unsqueeze (v, space)",
    "Sub": "u = Sigmoid (t)  y = Sub (t, u)",
    "Tanh": "y = Tanh (t)",
    "Tile": "y = Tile (t, times)",
    "TopK": "y, places = TopK <axis = 1> (t, two_ints)",
    "Transpose": "y = Transpose <perm = [0, 3, 1, 2]> (t)",
    "Unsqueeze": "u = Unsqueeze (t, one)  y = Squeeze (u, one)",
    "Where": "u = Neg (t)  c = Greater (t, zero)  y = Where (c, t, u)",
}  # fmt: skip
"""Something between a weight and the output, by operator."""

RNG = np.random.default_rng(3)


def ints(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


OPERANDS: dict[str, npt.NDArray[Any]] = {
    "bias": floats(4),
    "chosen": ints(3, 0, 0),
    "d": floats(4, 1, 2, 2),
    "ends": ints(5, 5),
    "g": floats(4, 2, 3, 3),
    "high": np.array(0.75, dtype=np.float32),
    "k": floats(4, 4, 3, 3),
    "large": ints(2, 4, 6, 5),
    "low": np.array(-0.5, dtype=np.float32),
    "m": floats(4, 4),
    "mm": floats(5, 3),
    "one": ints(1),
    "pads": ints(0, 1, 2, 0, 0, 3, -1, 1),
    "shuffled": ints(2, 5, 4, -1),
    "space": ints(2, 3),
    "square": ints(2, 2, 2, 1),
    "starts": ints(1, 0),
    "steps": ints(1, 2),
    "times": ints(1, 2, 1, 3),
    "two": np.array(2, dtype=np.float32),
    "two_ints": ints(2),
    "zero": np.array(0, dtype=np.float32),
}


@pytest.mark.parametrize(
    ("opset", "sizes"), [(18, "2,3,6,5"), (21, "2,3,6,5"), (21, "N,3,6,5"), (21, "N,3,H,W")]
)
@pytest.mark.parametrize("case", CASES)
def test_the_runtime_computes_what_finite_differences_say(
    case: str, opset: int, sizes: str, gradients: Gradients
) -> None:
    body = CASES[case]
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    operands = {name: array for name, array in OPERANDS.items() if name in words}
    if "Gelu" in body:
        opset = max(opset, 20)
    student = behind_conv(body, opset, sizes, **operands)
    if sizes == "N,3,H,W" and ("MaxPool" in case or "SAME" in case):
        with pytest.raises(TrainingError, match=f"no gradient for {case.split(',')[0]}"):
            twin_of(student)
        student = pinned(student, {"x": np.zeros((2, 3, 6, 5), "f4")})
    assert_gradients(student, gradients, "w")


def test_a_batch_normalization_is_differentiated_as_if_its_statistics_were_those_of_the_batch(
    gradients: Gradients,
) -> None:
    arrays = {name: floats(4) for name in ("scale", "bias", "mean")}
    student = behind_conv(
        "y = BatchNormalization (t, scale, bias, mean, spread)", spread=np.exp(floats(4)), **arrays
    )
    columns = {name: arrays[name].reshape(4, 1, 1) for name in ("scale", "bias")}
    written_out = behind_conv(
        """
        m = ReduceMean (t, axes)
        u = Sub (t, m)
        s = Mul (u, u)
        v = ReduceMean (s, axes)
        e = Add (v, epsilon)
        d = Sqrt (e)
        n = Div (u, d)
        p = Mul (n, scale)
        y = Add (p, bias)
        """,
        axes=ints(0, 2, 3),
        epsilon=np.array(1e-5, dtype=np.float32),
        **columns,
    )
    twin, inputs = twin_of(student), inputs_of(student)
    factors = {"y": floats(2, 4, 6, 5)}
    found = gradients(twin, inputs, factors)
    wanted = differences(written_out, ("w", "scale", "bias"), inputs, factors)
    for name, want in wanted.items():
        assert_close(found[name], want.reshape(found[name].shape))


def test_there_is_a_case_for_every_operator() -> None:
    assert {case.split(",")[0] for case in CASES} | {"BatchNormalization", "Identity"} == FLOWS
