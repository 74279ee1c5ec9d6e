"""Networks of which the truth is known: which units are dead; no test lives here."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from oracle import proto_of

from onnxtrim.config import DataConfig
from onnxtrim.search import Bench, judge_of
from onnxtrim.subject import prepare

__all__ = ["CLASSES", "LIVE", "READING", "bench_of", "network", "samples"]

CLASSES = 8
READING = DataConfig(threads=1)

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 8] x) => (float[N, 9] y) {
  [one] a = Gemm(x, w1)
  [r1] b = Relu(a)
  [two] c = Gemm(b, w2)
  [r2] d = Relu(c)
  [last] y = Gemm(d, w3, none)
}"""

LIVE = {"one": tuple(range(0, 16, 2)), "two": tuple(range(1, 16, 2))}
"""Where the living units are, where half of a layer of 16 is dead."""


def network(*dead: str) -> onnx.ModelProto:
    """Returns a classifier of one-hot inputs, with 8 dead units in each of the layers `dead`.

    In every layer one unit tells each class, and a ninth output is what is said without evidence:
    without a unit, the samples of its class, and no others, are answered wrongly. Dead units have
    the largest weights, in front and behind, and never fire.
    """
    places = {n: LIVE[n] if n in dead else tuple(range(CLASSES)) for n in LIVE}
    one, two = (np.full(16 if n in dead else CLASSES, -1) for n in LIVE)
    for layer, live in zip((one, two), places.values(), strict=True):
        layer[list(live)] = np.arange(CLASSES)
    classes, outputs = np.arange(CLASSES), np.arange(CLASSES + 1)
    w1 = np.where(one == -1, -5.0, classes[:, None] == one)
    w2 = np.where(two == -1, -5.0, (one[:, None] == two) & (one[:, None] != -1))
    w2[one == -1] = 5.0
    w3 = (two[:, None] == outputs).astype(float)
    w3[two == -1] = 5.0
    none = (outputs == CLASSES) * 0.1
    weights = {"w1": w1, "w2": w2, "w3": w3, "none": none}
    return proto_of(TEXT, {k: v.astype(np.float32) for k, v in weights.items()})


def samples(each: int = 10) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns samples with their labels, `each` of every class; later classes are stronger."""
    strength = 1 + np.arange(CLASSES) / CLASSES
    x = np.tile(np.diag(strength), (each, 1)).astype(np.float32)
    return x, np.tile(np.arange(CLASSES), each)


def bench_of(model: Any, data: Any = None, metric: Any = None) -> Bench:  # noqa: ANN401
    """Returns where plans for a model are tried, judged on all of the data."""
    subject = prepare(model, data, READING)
    judge = judge_of(subject, subject.data, metric, READING)
    return Bench(subject, subject.channel_map, judge, READING)
