"""One graph at the end of another."""

import numpy as np
import onnx
import onnx_ir as ir

from onnxtrim.finetune.losses.splice import spliced
from onnxtrim.graph.runtime import Runner

X = np.array([1, 2, 3], np.float32)


def net(text: str) -> ir.Model:
    header = '<ir_version: 8, opset_import: ["" : 18]> g'
    return ir.from_proto(onnx.parser.parse_model(f"{header} {text}"))


MODEL = "(float[3] x) => (float[3] y) <float k = {2}> { t = Mul (x, k) y = Neg (t) }"
PIECE = (
    "(float[3] x, float[3] t) => (float[3] y) <float k = {10}> { h = Mul (t, k) y = Sub (h, x) }"
)


def test_names_that_both_have_are_kept_apart() -> None:
    model, piece = net(MODEL), net(PIECE)
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    before = ir.to_proto(piece).SerializeToString()
    result = spliced(model, piece, [x, y])
    result.type, result.shape = y.type, y.shape
    model.graph.outputs.append(result)
    outputs = Runner(model)({"x": X})
    np.testing.assert_array_equal(outputs["y"], -2 * X)
    np.testing.assert_array_equal(outputs[str(result.name)], 10 * -2 * X - X)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert ir.to_proto(piece).SerializeToString() == before, "the piece was changed"


def test_a_piece_that_passes_its_input_on_gives_what_it_is_fed() -> None:
    model, piece = net(MODEL), net(PIECE)
    piece.graph.outputs[0] = piece.graph.inputs[1]
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    assert spliced(model, piece, [x, y]) is y
