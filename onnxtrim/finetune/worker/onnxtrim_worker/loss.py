"""A loss of somebody's own, an `onnxblock.Block`, as a graph.

Arguments: where the block is (`FILE.py:NAME` or `module:NAME`), the path of a model, and how many
of its outputs are those of a student; the others are targets. The block is called with the names of
all outputs. The file then holds inputs -> loss. What is wrong is said on standard error, in a line.
"""

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx

from .library import MAX_IR_VERSION, training_artifacts

__all__ = ["block_of", "built"]

_MODULE = "onnxtrim_own_loss"


class _RefusedError(Exception):
    """Something is not as it must be; the message is a sentence."""


def block_of(name: str) -> Any:  # noqa: ANN401 - untyped library
    """Returns the block of a name; of a class, an instance that was made without arguments."""
    source, _, attribute = name.rpartition(":")
    module = _file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    try:
        found = attrgetter(attribute)(module)
    except AttributeError:
        raise _RefusedError(f"{source} has no {attribute}") from None
    from onnxruntime.training import onnxblock

    block = found() if inspect.isclass(found) else found
    if not isinstance(block, onnxblock.blocks.Block):
        raise _RefusedError(f"{attribute} is no onnxruntime.training.onnxblock.Block")
    return block


def built(block: Any, template: onnx.ModelProto, count: int) -> onnx.ModelProto:  # noqa: ANN401
    """Returns a model whose only output is what the block makes of the outputs of a template.

    Args:
        block: a block that returns the name of a scalar.
        template: a model with outputs and targets.
        count: how many of its inputs must have a gradient, at least one of them.
    """
    from onnxruntime.training import onnxblock

    with onnxblock.base(template) as handle:
        name = block(*(value.name for value in template.graph.output))
        model: onnx.ModelProto = handle.model
    if not isinstance(name, str):
        raise _RefusedError(f"it returned {name!r}; return the name of the loss")
    added = [value.name for value in model.graph.input[len(template.graph.input) :]]
    if added:
        raise _RefusedError(
            f"it takes more inputs, {', '.join(added)}; it is called with all there are"
        )
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name: value for value in (*inferred.output, *inferred.value_info)}
    if name not in values:
        raise _RefusedError(f"nothing is known of {name!r}, which it returned")
    _check_scalar(values[name])
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    )
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    _check_gradient(model, [value.name for value in model.graph.input[:count]])
    return model


def _check_scalar(value: onnx.ValueInfoProto) -> None:
    """Refuses what is not known to be one float."""
    kind = value.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        raise _RefusedError(
            f"the loss is {onnx.TensorProto.DataType.Name(kind.elem_type)}, not FLOAT"
        )
    sizes = [dim.dim_value or dim.dim_param or "?" for dim in kind.shape.dim]
    if not kind.HasField("shape") or any(size != 1 for size in sizes):
        raise _RefusedError(f"the loss has sizes {sizes}; end with a mean or sum over all axes")


def _check_gradient(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Refuses a loss that depends on none of some inputs, or has no gradient by one of them."""
    from onnxruntime.capi._pybind_state import GradientGraphBuilder

    (loss,) = (value.name for value in model.graph.output)
    needed = {loss}
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    if needed.isdisjoint(names):
        raise _RefusedError("the loss depends on no output of the model")
    by = needed.intersection(names)
    GradientGraphBuilder(model.SerializeToString(), {loss}, by, loss, None).build()


def _file(path: Path) -> ModuleType:
    """Returns a file as a module; what lies beside it can be imported by it."""
    if not path.is_file():
        raise _RefusedError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise _RefusedError(f"{path} cannot be imported")
    sys.path.insert(0, str(path.resolve().parent))
    module = sys.modules[_MODULE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Writes the loss into the file of the template, and says that it did."""
    name, path, count = sys.argv[1:]
    training_artifacts()
    try:
        model = built(block_of(name), onnx.load(path), int(count))
    except _RefusedError as error:
        sys.exit(str(error))
    except Exception as error:  # whatever the code of a user raises
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
    onnx.save(model, path)
    sys.stdout.write(json.dumps({"loss": model.graph.output[0].name}) + "\n")


if __name__ == "__main__":
    main()
