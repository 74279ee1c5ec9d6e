"""Faster nodes compute the gradients that the runtime computes, in the places that they take."""

import json
import subprocess
from typing import Any

import pytest

from onnxtrim.finetune import TrainingRuntime

COMPARE = """
import json, sys
import numpy as np
import onnx
from onnx import numpy_helper
from onnxtrim_worker.library import MAX_IR_VERSION, training_artifacts
from onnxtrim_worker.quicker import block_size, quickened
training_artifacts()
import onnxruntime as ort
from onnxruntime.training.onnxblock._training_graph_utils import build_gradient_graph

text, block = sys.argv[1], sys.argv[2]
model = onnx.parser.parse_model(text)
rng = np.random.default_rng(0)
weights = {}
for value in list(model.graph.value_info):
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    weights[value.name] = rng.normal(size=shape).astype("f4")
del model.graph.value_info[:]
for name, array in weights.items():
    model.graph.initializer.append(numpy_helper.from_array(array, name))
(x,) = model.graph.input
fed = {"x": rng.normal(size=[d.dim_value for d in x.type.tensor_type.shape.dim]).astype("f4")}
names = list(weights)
model, _ = build_gradient_graph(model, set(names), set(), [model.graph.output[0].name])
model.ir_version = min(model.ir_version, MAX_IR_VERSION)

def gradients(model, layouts):
    laid = {n: weights[each.weight].ravel()[each.places] for n, each in layouts.items()}
    session = ort.InferenceSession(model.SerializeToString())
    return session.run([f"{n}_grad" for n in names], {**fed, **weights, **laid})

want = gradients(model, {})
size = block_size() if block == "here" else int(block)
model, layouts = quickened(model, size)
found = gradients(model, layouts)
errors = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, want)]
nodes = [f"{n.domain}:{n.op_type}" for n in model.graph.node]
print(json.dumps({"errors": errors, "nodes": nodes, "block": size}))
"""
HEAD = '<ir_version: 8, opset_import: ["": 18]> g (float[{x}] x) => (float loss) '
NET = (
    HEAD + "<float[{w1}] w1, float[{b1}] b1, float[{w2}] w2> {{"
    "a = Conv <{first}> (x, w1, b1) r = Relu (a) c = Conv <{second}> (r, w2) "
    "s = Mul (c, c) loss = ReduceMean <keepdims = 0> (s) }}"
)
SAME = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]"
BLOCKED = "com.microsoft.nchwc:Conv"


def compared(
    runtime: TrainingRuntime, block: str = "here", fault: str = "", **parts: str
) -> dict[str, Any]:
    script = COMPARE.replace("training_artifacts()\nimport", f"{fault}training_artifacts()\nimport")
    command = [str(runtime.python), "-c", script, NET.format(**parts), block]
    said = subprocess.check_output(command, env=runtime.environment(), text=True)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def sizes(**parts: str) -> dict[str, str]:
    plain = {
        "x": "2,16,40,40",
        "w1": "32,16,3,3",
        "b1": "32",
        "w2": "16,32,3,3",
        "first": SAME,
        "second": SAME,
    }
    return {**plain, **parts}


def test_convolutions_in_blocks_have_the_same_gradients(runtime: TrainingRuntime) -> None:
    found = compared(runtime, **sizes())
    if not found["block"]:
        pytest.skip("the runtime has no blocked layout on this machine")
    assert found["nodes"].count(BLOCKED) == 3  # two forward, and the gradient by r
    assert ":ReluGrad" not in found["nodes"]
    assert found["nodes"].count("com.microsoft:ConvGrad") == 2  # of the weights
    assert max(found["errors"]) < 1e-5


@pytest.mark.parametrize(
    "parts",
    [
        sizes(w1="9,16,3,3", b1="9", w2="5,9,3,3"),
        sizes(second="kernel_shape = [3, 3], pads = [2, 2, 2, 2], dilations = [2, 2]"),
        sizes(second="kernel_shape = [3, 3]"),
        sizes(w2="16,32,1,1", second="kernel_shape = [1, 1]"),
        sizes(w2="16,32,3,2", second="kernel_shape = [3, 2], pads = [2, 0, 0, 1]"),
    ],
    ids=["odd widths", "dilated", "no pads", "pointwise", "lopsided"],
)
def test_gradients_by_inputs_are_convolutions(
    runtime: TrainingRuntime, parts: dict[str, str]
) -> None:
    found = compared(runtime, "0", **parts)
    assert BLOCKED not in found["nodes"]
    assert found["nodes"].count(":Conv") == 3
    assert max(found["errors"]) < 1e-5
    assert max(compared(runtime, **parts)["errors"]) < 1e-5


@pytest.mark.parametrize(
    "parts",
    [
        sizes(second="kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]"),
        sizes(w2="32,1,3,3", second=f"{SAME}, group = 32"),
        sizes(second="kernel_shape = [3, 3], pads = [3, 3, 3, 3]"),
        sizes(x="1,16,8,8"),
    ],
    ids=["strided", "depthwise", "wide pads", "few positions"],
)
def test_other_gradients_stay_with_the_runtime(
    runtime: TrainingRuntime, parts: dict[str, str]
) -> None:
    found = compared(runtime, "0", **parts)
    assert found["nodes"].count(":Conv") == 2
    assert max(found["errors"]) < 1e-6


def test_a_kernel_that_is_not_mirrored_would_be_seen(runtime: TrainingRuntime) -> None:
    unmirrored = (
        "import types, onnxtrim_worker.quicker as q; "
        "q.np = types.SimpleNamespace(**{**vars(np), 'flip': lambda a, axis: a})\n"
    )
    found = compared(runtime, "0", fault=unmirrored, **sizes())
    assert max(found["errors"]) > 1e-2
