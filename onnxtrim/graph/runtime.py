"""ONNX Runtime sessions over `ir.Model`: the only module that creates them."""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from onnxtrim.errors import ModelError, RunError
from onnxtrim.graph.edit import in_memory, weight_bytes

__all__ = ["RUNTIME_VERSION", "Arrays", "Runner"]

RUNTIME_VERSION: str = ort.__version__

Arrays = dict[str, npt.NDArray[Any]]
"""One array per tensor name."""

_IN_MEMORY_BYTES = 1 << 30
_SILENT = 4


class Runner:
    """A model ready to run on the CPU: `runner(inputs)` returns `{output name: array}`.

    Args:
        model: the model; it is serialised, never changed.
        optimize: False switches every graph optimisation of the runtime off.
        threads: intra-op threads; 0 lets the runtime choose.
        spin: whether threads keep cores busy while they wait: faster where nobody else needs these.
        dump: where to write the optimised graph, for those who want to read it.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """

    def __init__(
        self,
        model: ir.Model,
        *,
        optimize: bool = True,
        threads: int = 0,
        spin: bool = True,
        dump: Path | None = None,
    ) -> None:
        """Creates the session."""
        options = ort.SessionOptions()
        options.log_severity_level = _SILENT
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
        )
        if dump is not None:
            options.optimized_model_filepath = str(dump)
        self._session = _session(model, options)
        self.output_names: Sequence[str] = [o.name for o in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Returns every output for one batch of `inputs`.

        Raises:
            RunError: the runtime fails on these inputs.
        """
        try:
            outputs = self._session.run(self.output_names, dict(inputs))
        except Exception as error:  # ONNX Runtime raises its own unrelated types
            raise RunError(f"ONNX Runtime cannot run the model: {_reason(error)}") from error
        return {name: np.asarray(a) for name, a in zip(self.output_names, outputs, strict=True)}


def _session(model: ir.Model, options: ort.SessionOptions) -> Any:  # noqa: ANN401 - untyped library
    """Returns a session; models too large for one protobuf go through a temporary file."""
    with contextlib.ExitStack() as stack:
        source: str | bytes
        if weight_bytes(model) > _IN_MEMORY_BYTES:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="onnxtrim-"))
            source = str(Path(folder) / "model.onnx")
            ir.save(model, source, external_data="model.onnx.data")
        else:
            source = ir.to_proto(in_memory(model)).SerializeToString()
        try:
            return ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )  # falling back would print, and try the same again
        except Exception as error:  # ONNX Runtime raises its own unrelated types
            raise ModelError(f"ONNX Runtime cannot load the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Returns the message of the runtime as one line."""
    return " ".join(str(error).split())[:400]
