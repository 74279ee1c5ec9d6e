"""The training build of ONNX Runtime, with its pitfalls covered.

It is imported where torch is missing, or is not wanted (importing it takes seconds), and its
artifacts are written in a form that it can read again.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx

__all__ = ["MAX_IR_VERSION", "MAX_OPSET", "build_artifacts", "training_artifacts"]

MAX_IR_VERSION = 10
MAX_OPSET = 21
"""The newest that ONNX Runtime 1.19.2 reads."""


def training_artifacts() -> Any:  # noqa: ANN401 - untyped library
    """Returns the module `onnxruntime.training.artifacts`, imported without torch and flatbuffers.

    Importing it imports helpers for torch and for the ORT format too, which nobody calls here.
    """
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # None: cannot be imported
    for name in ("training.amp", "training.optim", "tools.convert_onnx_models_to_ort"):
        full = f"onnxruntime.{name}"
        sys.modules.setdefault(full, ModuleType(full))
    converter: Any = sys.modules["onnxruntime.tools.convert_onnx_models_to_ort"]
    converter.OptimizationStyle = converter.convert_onnx_models_to_ort = None
    from onnxruntime.training import artifacts

    return artifacts


def build_artifacts(model: onnx.ModelProto, folder: Path, **options: Any) -> None:  # noqa: ANN401
    """Writes the training, eval and optimizer models and the checkpoint of `model` to `folder`.

    Args:
        model: its opset is at most `MAX_OPSET`.
        folder: exists.
        **options: of `generate_artifacts`: what requires gradients, the loss, the optimizer.

    Raises:
        ValueError: the opset of the model is too new.
    """
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset > MAX_OPSET:
        raise ValueError(f"the model has opset {opset}; training takes {MAX_OPSET} at most")
    training_artifacts().generate_artifacts(model, artifact_directory=folder, **options)
    for path in folder.glob("*_model.onnx"):  # what onnx makes anew has the newest IR version
        made = onnx.load(path)
        made.ir_version = min(made.ir_version, MAX_IR_VERSION)
        onnx.save(made, path)
