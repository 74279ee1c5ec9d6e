"""A group of a model in ONNX text, as a criterion sees it; no test lives here."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from oracle import Arrays, proto_of

from onnxtrim.calibration import Measurements, Statistic
from onnxtrim.channels import analyze
from onnxtrim.criteria import GroupView
from onnxtrim.graph import load, normalize

# A residual stream of 3 channels that is activated three times, and a dense head. `stem`, `back1`
# and `back2` write it; `out1`, `out2` and `head` read it.
STREAM = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 2] y) {
  [stem] a0 = Conv(x, w0)
  [relu0] r0 = Relu(a0)
  [out1] a1 = Conv(r0, w1)
  [inner1] b1 = Relu(a1)
  [back1] c1 = Conv(b1, v1)
  [add1] s1 = Add(c1, r0)
  [relu1] r1 = Relu(s1)
  [out2] a2 = Conv(r1, w2)
  [inner2] b2 = Relu(a2)
  [back2] c2 = Conv(b2, v2)
  [add2] s2 = Add(c2, r1)
  [relu2] r2 = Relu(s2)
  [pool] p = GlobalAveragePool(r2)
  [flat] f = Flatten(p)
  [head] y = Gemm(f, wf)
}"""

STREAM_WEIGHTS: Arrays = {
    "w0": np.array([[1, 2], [-3, 4], [0, 0]], np.float32).reshape(3, 2, 1, 1),
    "w1": np.ones((5, 3, 1, 1), np.float32),
    "v1": np.array([[1] * 5, [0] * 5, [2] * 5], np.float32).reshape(3, 5, 1, 1),
    "w2": np.ones((5, 3, 1, 1), np.float32),
    "v2": np.array([[1] * 5, [1] * 5, [-1] * 5], np.float32).reshape(3, 5, 1, 1),
    "wf": np.ones((3, 2), np.float32),
}


def measured(values: Mapping[str, Mapping[Statistic, list[float]]]) -> Measurements:
    """Returns measurements of axis 1 of the given tensors."""
    return Measurements(
        {
            (tensor, 1): {name: np.array(row, dtype=np.float64) for name, row in found.items()}
            for tensor, found in values.items()
        },
        samples=1,
        fingerprint="",
    )


def view_of(
    text: str,
    weights: Arrays,
    group: str,
    measurements: Measurements | None = None,
    seed: int = 0,
) -> GroupView:
    """Returns the view of the group called `group`."""
    model = normalize(load(proto_of(text, weights)))
    channel_map = analyze(model)
    (found,) = [g for g in channel_map.groups if g.name == group]
    return GroupView(found, channel_map, model, measurements, seed)


def floats(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Returns normal figures."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
