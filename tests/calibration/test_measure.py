"""Streamed statistics against one pass in numpy over the whole activation, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from oracle import Arrays, proto_of, run

from onnxtrim.calibration import Measurements, Statistic, input_specs, measure, open_data
from onnxtrim.calibration.measure import samples_at_once
from onnxtrim.channels import Tap, analyze
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError
from onnxtrim.graph import load, normalize

EVERY: tuple[Statistic, ...] = get_args(Statistic)
ATOL = 1e-6
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}


@dataclass(frozen=True)
class Net:
    """A small network: its text, its weights' shapes, the sizes of a sample, its taps."""

    text: str
    weights: dict[str, tuple[int, ...]]
    sample: tuple[int, ...]
    taps: dict[str, int]


NETS = {
    "conv2d": Net(
        """g (float[N, 3, 5, 6] x) => (float[N, 2] y) {
          a = Conv <pads=[1, 1, 1, 1]> (x, w1, b1)
          r = Relu(a)
          b = Conv(r, w2)
          t = Tanh(b)
          f = Flatten(t)
          y = Gemm(f, w3)
        }""",
        {"w1": (7, 3, 3, 3), "b1": (7,), "w2": (5, 7, 2, 2), "w3": (5 * 4 * 5, 2)},
        (3, 5, 6),
        {"r": 1, "t": 1},
    ),
    "conv1d": Net(
        """g (float[N, 2, 9] x) => (float[N, 3, 7] y) {
          a = Conv(x, w1)
          r = Relu(a)
          y = Conv(r, w2)
        }""",
        {"w1": (6, 2, 3), "w2": (3, 6, 1)},
        (2, 9),
        {"r": 1},
    ),
    "conv3d": Net(
        """g (float[N, 1, 3, 4, 5] x) => (float[N, 2, 2, 3, 4] y) {
          a = Conv(x, w1)
          r = Relu(a)
          y = Conv(r, w2)
        }""",
        {"w1": (4, 1, 2, 2, 2), "w2": (2, 4, 1, 1, 1)},
        (1, 3, 4, 5),
        {"r": 1},
    ),
    "gemm": Net(
        """g (float[N, 4] x) => (float[N, 2] y) {
          a = Gemm(x, w1, b1)
          r = Relu(a)
          b = Gemm <transB=1> (r, w2)
          t = Sigmoid(b)
          y = Gemm(t, w3)
        }""",
        {"w1": (4, 9), "b1": (9,), "w2": (6, 9), "w3": (6, 2)},
        (4,),
        {"r": 1, "t": 1},
    ),
    "tokens": Net(
        """g (float[N, 5, 3] x) => (float[N, 5, 2] y) {
          a = MatMul(x, w1)
          b = Add(a, b1)
          r = Relu(b)
          y = MatMul(r, w2)
        }""",
        {"w1": (3, 8), "b1": (8,), "w2": (8, 2)},
        (5, 3),
        {"r": 2},
    ),
    "nhwc": Net(
        """g (float[N, 4, 2, 3] x) => (float[N, 4, 2, 2] y) {
          a = MatMul(x, w1)
          r = Relu(a)
          y = MatMul(r, w2)
        }""",
        {"w1": (3, 5), "w2": (5, 2)},
        (4, 2, 3),
        {"r": 3},
    ),
}


def made(name: str, opset: int = 17, kind: str = "float", batch: str = "N") -> onnx.ModelProto:
    net = NETS[name]
    rng = np.random.default_rng(11)
    weights: Arrays = {
        key: rng.standard_normal(shape).astype(KINDS[kind]) for key, shape in net.weights.items()
    }
    text = net.text.replace("float[", f"{kind}[").replace("[N,", f"[{batch},")
    return proto_of(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}', weights)


def samples(name: str, count: int, kind: str = "float") -> npt.NDArray[np.generic]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((count, *NETS[name].sample)).astype(KINDS[kind])


def found_taps(model: ir.Model) -> list[Tap]:
    return [tap for group in analyze(model).groups for tap in group.taps]


def measured(
    proto: onnx.ModelProto,
    x: npt.NDArray[np.generic],
    size: int = 64,
    statistics: Sequence[Statistic] = EVERY,
    taps: Sequence[Tap] | None = None,
) -> Measurements:
    model = normalize(load(proto))
    data = open_data(x, input_specs(model), DataConfig())
    places = found_taps(model) if taps is None else taps
    return measure(model, places, statistics, data, batch_size=size)


def activation(
    proto: onnx.ModelProto, tensor: str, x: npt.NDArray[np.generic]
) -> npt.NDArray[np.float64]:
    """Returns a whole tensor of the model, from one run without optimisations."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    kind = whole.graph.input[0].type.tensor_type.elem_type
    whole.graph.output.append(helper.make_tensor_value_info(tensor, kind, None))
    return np.asarray(run(whole, {"x": x})[tensor], dtype=np.float64)


Row = dict[Statistic, npt.NDArray[np.float64]]


def reference(values: npt.NDArray[np.float64], axis: int = 1) -> Row:
    """Returns every statistic of a whole tensor, channel by channel."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    return {
        "zeros": (values == 0).mean(axis=others),
        "mean": values.mean(axis=others),
        "square": (values * values).mean(axis=others),
        "magnitude": np.abs(values).mean(axis=others),
    }


def assert_right(
    found: Measurements,
    proto: onnx.ModelProto,
    net: Net,
    x: npt.NDArray[np.generic],
    rounding: float = 0.0,
) -> None:
    """Fails unless every statistic is that of the whole activation, and none is missing.

    Errors are relative to the largest figure of the channels; `rounding` is that of an element.
    """
    assert {key: set(row) for key, row in found.statistics.items()} == {
        (tensor, axis): set(EVERY) for tensor, axis in net.taps.items()
    }
    for tensor, axis in net.taps.items():
        expected = reference(activation(proto, tensor, x), axis)
        row = found.statistics[tensor, axis]
        for statistic in EVERY:
            assert row[statistic].dtype == np.float64
            assert row[statistic].shape == expected[statistic].shape
            scale = expected["magnitude" if statistic == "mean" else statistic].max()
            bound = 1e-12 if statistic == "zeros" else (ATOL + 2 * rounding) * scale
            error = np.abs(row[statistic] - expected[statistic]).max()
            assert error <= bound, (tensor, statistic, error, bound)
    assert found.samples == len(x)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("opset", [13, 18])
def test_every_rank_and_channel_axis(name: str, opset: int) -> None:
    proto, x = made(name, opset), samples(name, 7)
    assert_right(measured(proto, x), proto, NETS[name], x)


@pytest.mark.parametrize("name", ["conv2d", "tokens"])
@given(sizes=st.lists(st.integers(1, 12), min_size=2, max_size=2, unique=True))
def test_the_split_into_batches_does_not_matter(name: str, sizes: list[int]) -> None:
    proto, x = made(name), samples(name, 11)
    found = [measured(proto, x, size) for size in sizes]
    for one in found:
        assert_right(one, proto, NETS[name], x)
    assert found[0].fingerprint == found[1].fingerprint


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("opset", [13, 18])
def test_half_precision(name: str, opset: int) -> None:
    """ONNX Runtime may keep an activation in float32, half a unit in the last place away."""
    proto, x = made(name, opset, "float16"), samples(name, 6, "float16")
    assert_right(measured(proto, x, 4), proto, NETS[name], x, rounding=2.0**-11)


PLAIN = """<ir_version: 8, opset_import: ["": 17]> g (KIND[SHAPE] x) => (KIND[SHAPE] y) {
  broken = OP(x)
  act = Relu(broken)
  safe = Sigmoid(act)
  y = Mul(safe, safe)
}"""
SHAPES = [(4,), (4, 3), (4, 2, 2), (4, 2, 2, 2)]


def plain(operator: str, shape: tuple[int, ...], kind: str = "float") -> onnx.ModelProto:
    sizes = ", ".join(["N", *map(str, shape)])
    return proto_of(PLAIN.replace("KIND", kind).replace("SHAPE", sizes).replace("OP", operator))


def at(*tensors: str) -> list[Tap]:
    return [Tap(tensor, 1, activation=True, zeroes=True) for tensor in tensors]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("statistic", EVERY)
def test_double_precision(statistic: Statistic, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).standard_normal((6, *shape))
    found = measured(plain("Neg", shape, "double"), x, 4, [statistic], at("act"))
    row = found.statistics["act", 1][statistic]
    expected = reference(np.maximum(-x, 0))[statistic]
    np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)


def rectifier(sizes: Sequence[int | str]) -> onnx.ModelProto:
    shape = ", ".join(map(str, ("N", *sizes)))
    return proto_of(f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[{shape}] x) => (float[{shape}] y) {{
          act = Relu(x)
          y = Neg(act)
        }}""")


CONSTANT_MAPS: list[tuple[tuple[int, ...], int]] = [
    ((16, 112, 112), 1),
    ((16, 56, 56), 1),
    ((16, 8, 8), 1),
    ((16, 53, 67), 1),
    ((16, 400, 3), 1),
    ((16, 5000), 1),
    ((16, 9, 20, 17), 1),
    ((1000, 16), 2),
    ((56, 56, 16), 3),
]


@pytest.mark.parametrize(("shape", "axis"), CONSTANT_MAPS)
def test_sums_over_many_equal_numbers_keep_their_digits(shape: tuple[int, ...], axis: int) -> None:
    """The worst case of float32 sums: every addition errs to the same side."""
    constants = np.random.default_rng(4).uniform(0.1, 1, 16).astype(np.float32)
    x = np.broadcast_to(
        constants.reshape([16 if i == axis else 1 for i in range(len(shape) + 1)]), (3, *shape)
    )
    taps = [Tap("act", axis, activation=True, zeroes=True)]
    row = measured(rectifier(shape), x.copy(), taps=taps).statistics["act", axis]
    expected = constants.astype(np.float64)
    np.testing.assert_allclose(row["mean"], expected, rtol=ATOL)
    np.testing.assert_allclose(row["square"], expected**2, rtol=ATOL)
    assert row["zeros"].tolist() == [0.0] * 16


@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=2),
    known=st.booleans(),
    behind_relu=st.booleans(),
)
def test_maps_of_every_size_known_or_not(sizes: list[int], known: bool, behind_relu: bool) -> None:
    x = np.random.default_rng(sizes).standard_normal((2, 3, *sizes)).astype(np.float32)
    proto = rectifier((3, *(sizes if known else ("H", "W"))))
    tensor, values = ("act", np.maximum(x, 0)) if behind_relu else ("y", np.minimum(-x, 0))
    taps = [Tap(tensor, 1, activation=True, zeroes=behind_relu)]
    found = measured(proto, x, taps=taps).statistics[tensor, 1]
    for statistic, expected in reference(values.astype(np.float64)).items():
        atol = ATOL * max(1e-3, float(np.abs(expected).max()))
        np.testing.assert_allclose(found[statistic], expected, rtol=0, atol=atol)


def test_a_batch_that_outgrows_the_cache_goes_piece_by_piece() -> None:
    proto = rectifier((8, 128, 128))  # half a MiB a sample
    x = np.random.default_rng(6).standard_normal((5, 8, 128, 128)).astype(np.float32)
    model, tap = normalize(load(proto)), Tap("act", 1, activation=True, zeroes=True)
    assert samples_at_once(model, [tap], threads=1) == 2
    assert samples_at_once(model, [tap], threads=3) == 6
    data = open_data(x, input_specs(model), DataConfig())
    found = measure(model, [tap], EVERY, data, batch_size=5, threads=1)
    for statistic, expected in reference(np.maximum(x, 0).astype(np.float64)).items():
        row = found.statistics["act", 1][statistic]
        np.testing.assert_allclose(row, expected, rtol=0, atol=ATOL)
    assert found.samples == 5


def test_weights_are_not_read_for_less_than_they_weigh() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 512] x) => (float[N, 512] y) {
      a = Gemm(x, w)
      r = Relu(a)
      y = Gemm(r, v)
    }"""
    weights: Arrays = {name: np.ones((512, 512), np.float32) for name in ("w", "v")}
    model = normalize(load(proto_of(text, weights)))  # 2 MiB, as 1024 samples of 2 KiB
    assert samples_at_once(model, [Tap("r", 1, True, True)], threads=1) == 1024


@pytest.mark.parametrize(
    ("given", "tapped"), [("4", "4"), ("N", "M"), ("N", "7")], ids=["fixed", "tied", "turned"]
)
def test_a_batch_stays_whole_unless_samples_are_on_the_first_axis(given: str, tapped: str) -> None:
    model = normalize(load(rectifier((8, 8))))
    model.graph.inputs[0].shape = ir.Shape([int(given) if given.isdigit() else given, 8, 8])
    [act] = [v for node in model.graph for v in node.outputs if v.name == "act"]
    act.shape = ir.Shape([int(tapped) if tapped.isdigit() else tapped, 8, 8])
    assert samples_at_once(model, [Tap("act", 1, True, True)], threads=1) is None


@pytest.mark.parametrize("name", ["conv2d", "conv1d", "gemm"])
@pytest.mark.parametrize("count", [3, 4, 10])
def test_a_fixed_batch_counts_its_remainder_once(name: str, count: int) -> None:
    fixed, x = made(name, batch="4"), samples(name, count)
    x[-1] = np.abs(x[-1]) * 5  # the sample that fills the batch up is unlike all others
    assert_right(measured(fixed, x), made(name), NETS[name], x)


def test_batches_that_the_model_ties_together_are_counted_by_what_comes_out() -> None:
    """Two samples make one row: channels are averaged over rows, not over samples."""
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[M, 1] y) {
      f = Reshape(x, target)
      a = Gemm(f, w)
      r = Relu(a)
      y = Gemm(r, v)
    }"""
    rng = np.random.default_rng(0)
    weights: Arrays = {
        "target": np.array([-1, 4]),
        "w": rng.standard_normal((4, 3)).astype(np.float32),
        "v": rng.standard_normal((3, 1)).astype(np.float32),
    }
    x = rng.standard_normal((10, 2)).astype(np.float32)
    found = measured(proto_of(text, weights), x, 4).statistics["r", 1]
    rows = np.maximum(x.reshape(-1, 4).astype(np.float64) @ weights["w"], 0)
    np.testing.assert_allclose(found["mean"], rows.mean(axis=0), rtol=0, atol=ATOL)
    np.testing.assert_allclose(found["zeros"], (rows == 0).mean(axis=0), rtol=0, atol=ATOL)


def broken(
    operator: str,
    statistic: Statistic,
    value: float,
    *taps: str,
    shape: tuple[int, ...] = (4, 2, 2),
) -> str:
    """Returns what is said of a model that computes nonsense from one element of `value`."""
    x = np.ones((5, *shape), np.float32)
    x[3].reshape(-1)[-1] = value
    with pytest.raises(DataError) as caught:
        measured(plain(operator, shape), x, 2, [statistic], at(*taps))
    return str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("statistic", EVERY)
def test_an_undefined_activation_is_named(statistic: Statistic, shape: tuple[int, ...]) -> None:
    message = broken("Sqrt", statistic, -1.0, "act", shape=shape)
    assert "'act'" in message
    assert "undefined" in message
    assert "--scale" in message


def test_an_infinite_activation_is_named() -> None:
    assert "'act'" in broken("Exp", "mean", 100.0, "act")


def test_an_infinite_activation_is_no_zero() -> None:
    x = np.full((5, 4, 2, 2), 100.0, np.float32)
    found = measured(plain("Exp", (4, 2, 2)), x, 2, ["zeros"], at("act"))
    assert found.statistics["act", 1]["zeros"].tolist() == [0.0] * 4


def test_the_first_bad_tensor_is_named_of_several() -> None:
    assert "'broken'" in broken("Sqrt", "mean", -1.0, "broken", "act", "safe")


def test_progress_says_how_far_it_is() -> None:
    heard: list[tuple[str, int, int]] = []
    model = normalize(load(made("gemm")))
    data = open_data(samples("gemm", 10), input_specs(model), DataConfig())

    def listen(what: str, done: int, total: int) -> None:
        heard.append((what, done, total))

    measure(model, found_taps(model), ["mean"], data, batch_size=4, progress=listen)
    assert [(done, total) for _, done, total in heard] == [(4, 10), (8, 10), (10, 10)]
    assert len({what for what, _, _ in heard}) == 1


def test_the_fingerprint_is_that_of_the_data() -> None:
    model = normalize(load(made("gemm")))
    data = open_data(samples("gemm", 10), input_specs(model), DataConfig())
    assert measure(model, found_taps(model), ["mean"], data).fingerprint == data.fingerprint


def test_nothing_is_measured_where_nothing_is_asked() -> None:
    assert measured(made("gemm"), samples("gemm", 3), taps=[Tap("r", 1, True, True)]).statistics
    assert measured(made("gemm"), samples("gemm", 3), statistics=[]).statistics == {}


def test_integer_activations_are_measured_too() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (int32[N, 3] x) => (int32[N, 3] y) {
      r = Relu(x)
      y = Add(r, r)
    }"""
    x = np.array([[1, 0, -2], [3, 0, 4]], np.int32)
    found = measured(proto_of(text), x, taps=[Tap("r", 1, activation=True, zeroes=True)])
    assert found.statistics["r", 1]["mean"] == pytest.approx([2.0, 0.0, 2.0], abs=ATOL)
    assert found.statistics["r", 1]["zeros"] == pytest.approx([0.0, 1.0, 0.5], abs=ATOL)
