"""What a twin must be: the same function as the student, and with the derivatives of the student.

Derivatives of the student are finite differences, taken in the current runtime, of

    L = sum of r y     over all outputs y, with r fixed and random

Those of the twin are what the training runtime computes in a worker.
"""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import helper, numpy_helper
from oracle import Arrays, proto_of, run

from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.twin import Twin, check_twin, twin_of
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant

__all__ = [
    "Gradients",
    "assert_close",
    "assert_gradients",
    "assert_twin",
    "behind_conv",
    "differences",
    "inputs_of",
    "student_of",
    "weight_of",
]

STEP = 2**-12
"""Half the distance between the two points of a finite difference."""

_FED = {"H": 6, "W": 5}

_WORKER = """
import sys
import numpy as np
import onnx
from onnx import numpy_helper
from onnxtrim_worker.library import MAX_IR_VERSION, training_artifacts
from onnxtrim_worker.quicker import block_size, quickened
training_artifacts()
import onnxruntime as ort
from onnxruntime.training.onnxblock._training_graph_utils import build_gradient_graph

def answer(folder, names):
    model = onnx.load(f"{folder}/loss.onnx")
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    trained, _ = build_gradient_graph(model, set(names), set(), [model.graph.output[0].name])
    trained.ir_version = min(trained.ir_version, MAX_IR_VERSION)
    trained, layouts = quickened(trained, block_size())
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(trained.SerializeToString(), options)
    feeds = {**np.load(f"{folder}/inputs.npz"), **{name: weights[name] for name in names}}
    feeds |= {name: weights[each.weight].ravel()[each.places] for name, each in layouts.items()}
    found = session.run([f"{name}_grad" for name in names], feeds)
    np.savez(f"{folder}/gradients.npz", **dict(zip(names, found)))

for line in sys.stdin:
    folder, *names = line.rstrip("\\n").split("\\t")
    try:
        answer(folder, names)
        print("done", flush=True)
    except Exception as error:
        print(" ".join(str(error).split()), flush=True)
"""


class Gradients:
    """A worker that computes gradients, one model after the other."""

    def __init__(self, runtime: TrainingRuntime, folder: Path) -> None:
        """Starts the worker; `folder` takes what goes to and fro."""
        self._folder = folder
        self._process = subprocess.Popen(
            [str(runtime.python), "-c", _WORKER],
            env=runtime.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, twin: Twin, inputs: Arrays, factors: Arrays) -> Arrays:
        """Returns the gradient of L by every trained weight."""
        onnx.save(with_loss(ir.to_proto(twin.learner), factors), self._folder / "loss.onnx")
        np.savez(self._folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join([str(self._folder), *twin.trainable]) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        assert said == "done", said
        return dict(np.load(self._folder / "gradients.npz"))

    def close(self) -> None:
        """Ends the worker."""
        self._process.communicate()


def with_loss(model: onnx.ModelProto, factors: Arrays) -> onnx.ModelProto:
    """Returns a copy of `model` whose only output is L."""
    loss = onnx.ModelProto()
    loss.CopyFrom(model)
    graph = loss.graph
    terms = []
    for name, factor in factors.items():
        graph.initializer.append(numpy_helper.from_array(factor, f"{name}.factor"))
        product, term = f"{name}.product", f"{name}.term"
        graph.node.append(helper.make_node("Mul", [name, f"{name}.factor"], [product]))
        graph.node.append(helper.make_node("ReduceSum", [product], [term], keepdims=0))
        terms.append(term)
    while len(terms) > 1:
        first, second = terms.pop(), terms.pop()
        graph.node.append(helper.make_node("Add", [first, second], [f"{first}+"]))
        terms.append(f"{first}+")
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(terms[0], onnx.TensorProto.FLOAT, []))
    return loss


def student_of(text: str, **weights: npt.NDArray[Any]) -> ir.Model:
    """Returns a normalised student, in ONNX text or with `weights` as further initializers."""
    return normalize(load(proto_of(text, weights)))


def behind_conv(
    body: str, opset: int = 21, sizes: str = "2,3,6,5", /, **arrays: npt.NDArray[Any]
) -> ir.Model:
    """Returns a student in which `body` makes y (of rank 4) of t (2, 4, 6, 5), a convolution.

    `sizes` are those of the input; letters are fed as N = 2, H = 6, W = 5.
    """
    rng = np.random.default_rng(0)
    arrays["w"] = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    signature = f"(float[{sizes}] x) => (float[A,B,C,D] y)"
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}]> g {signature} {{ t = Conv (x, w) {body} }}'
    )
    return student_of(text, **arrays)


def weight_of(model: ir.Model, name: str) -> npt.NDArray[Any]:
    """Returns the value of an initializer."""
    found = constant(model.graph.initializers[name])
    assert found is not None
    return found


def inputs_of(model: ir.Model) -> Arrays:
    """Returns random inputs; sizes that are not known are as `_FED` says, else 2."""
    rng = np.random.default_rng(1)
    return {
        str(v.name): rng.normal(size=[_size(d) for d in v.shape or ()])
        .astype(np.float32)
        for v in model.graph.inputs
    }  # fmt: skip


def _size(known: int | ir.SymbolicDim) -> int:
    """Returns a size, or what is fed for it."""
    return known if isinstance(known, int) else _FED.get(str(known.value), 2)


def assert_twin(student: ir.Model) -> Twin:
    """Returns the twin of `student`, which computes the same with the same weights."""
    twin, inputs = twin_of(student), inputs_of(student)
    check_twin(student, twin, inputs)
    for name, want in run(student, inputs).items():
        np.testing.assert_allclose(
            run(twin.model, inputs)[name], want, rtol=1e-5, atol=1e-5 * float(np.abs(want).max())
        )
    for name in twin.trainable:
        before, after = (m.graph.initializers[name].const_value for m in (student, twin.model))
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(before.numpy(), after.numpy())
    return twin


def assert_gradients(student: ir.Model, gradients: Gradients, *trained: str) -> None:
    """Fails unless the `trained` weights of the twin have the derivatives of the student."""
    twin = assert_twin(student)
    assert set(trained) <= set(twin.trainable)
    inputs, rng = inputs_of(student), np.random.default_rng(2)
    factors = {
        name: rng.normal(size=y.shape).astype(np.float32)
        for name, y in run(student, inputs).items()
    }
    found = gradients(twin, inputs, factors)
    for name, want in differences(student, twin.trainable, inputs, factors).items():
        assert_close(found[name], want)


def assert_close(found: npt.NDArray[Any], want: npt.NDArray[Any]) -> None:
    """Fails where a gradient is off by 1 % or more of its length."""
    assert found.shape == want.shape
    error = np.linalg.norm(found - want) / np.linalg.norm(want)
    assert error < 1e-2, f"{error}: {found.ravel()[:8]} instead of {want.ravel()[:8]}"


def differences(
    student: ir.Model, names: tuple[str, ...], inputs: Arrays, factors: Arrays
) -> Arrays:
    """Returns the finite differences of L by every element of some weights."""
    proto = ir.to_proto(student)
    fed = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer if t.name in names}
    kept = [t for t in proto.graph.initializer if t.name not in names]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    for name, array in fed.items():
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        proto.graph.input.append(info)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options)

    def loss(name: str, array: npt.NDArray[Any]) -> float:
        outputs = session.run(list(factors), {**inputs, **fed, name: array})
        return sum(
            float(np.sum(factor.astype(np.float64) * y))
            for factor, y in zip(factors.values(), outputs, strict=True)
        )

    found = {}
    for name, array in fed.items():
        slopes = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            above, below = array.copy(), array.copy()
            above[place] += STEP
            below[place] -= STEP
            width = float(above[place]) - float(below[place])
            slopes[place] = (loss(name, above) - loss(name, below)) / width
        found[name] = slopes
    return found
