"""One step of training, and the loss before and after it.

The model is a line, y = x w + b, which starts at w = 0 and b = 0; x is the identity, so each weight
meets one sample, and the targets are 1 and 2. The loss is the mean squared error.

The first step of AdamW moves every parameter against the sign of its gradient by the rate r = 0.1
(its two moments cancel). All gradients are negative, so w1 = w2 = b = 0.1; both outputs are 0.2:

    before   (1^2 + 2^2) / 2        = 2.5
    after    (0.8^2 + 1.8^2) / 2    = 1.94
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from .library import build_artifacts, training_artifacts

__all__ = ["losses"]

_LINE = """
<ir_version: 8, opset_import: ["" : 17]>
line (float[N, 2] x) => (float[N, 1] y)
<float[2, 1] w = {0, 0}, float[1] b = {0}>
{ y = Gemm (x, w, b) }
"""
_RATE = 0.1


def losses(folder: Path) -> tuple[float, float]:
    """Returns the loss before and after one step; `folder` takes the artifacts."""
    artifacts = training_artifacts()
    build_artifacts(
        onnx.parser.parse_model(_LINE),
        folder,
        requires_grad=["w", "b"],
        loss=artifacts.LossType.MSELoss,
        optimizer=artifacts.OptimType.AdamW,
    )
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    state = CheckpointState.load_checkpoint(str(folder / "checkpoint"))
    model = Module(str(folder / "training_model.onnx"), state, str(folder / "eval_model.onnx"))
    optimizer = Optimizer(str(folder / "optimizer_model.onnx"), model)
    optimizer.set_learning_rate(_RATE)
    x, targets = np.eye(2, dtype=np.float32), np.array([[1], [2]], np.float32)
    before = float(model(x, targets))
    optimizer.step()
    model.eval()
    return before, float(model(x, targets))


def main() -> None:
    """Says the version of the runtime and the two losses."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before, after = losses(Path(folder))
    import onnxruntime

    answer = {"version": onnxruntime.__version__, "before": before, "after": after}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
