"""The proof holds for zeros, and for nothing else."""

import numpy as np
import onnx_ir as ir
import pytest
from test_zeroing import model, weights_of

from onnxtrim.errors import VerificationError
from onnxtrim.finetune.study import with_weights
from onnxtrim.graph.runtime import Arrays
from onnxtrim.sparsity import proven, sparsified, zeros_stay


def inputs() -> Arrays:
    return {"x": np.random.default_rng(7).standard_normal((5, 3, 4, 4)).astype(np.float32)}


def changed(sparse: ir.Model, name: str, place: tuple[int, ...], value: float) -> ir.Model:
    """Returns a clone with one weight changed."""
    array = np.array(weights_of(sparse)[name])
    array[place] = value
    return with_weights(sparse, {name: array})


def test_zeros_are_proven() -> None:
    before = model()
    found = proven(before, sparsified(before, 0.6)[0], inputs(), 5)
    assert found.samples == 5
    assert found.max_rel_error <= 1e-6


def test_a_weight_read_twice_is_masked_twice() -> None:
    before = model()
    for node in before.graph:
        if node.name == "last":
            node.replace_input_with(1, before.graph.initializers["q"])
    assert proven(before, sparsified(before, 0.9, "layer")[0], inputs(), 5).max_rel_error <= 1e-6


def test_anything_else_is_refused() -> None:
    before = model()
    sparse, _ = sparsified(before, 0.6)
    for name, place, value in (
        ("k", (0, 0, 0, 0), 0.1234),
        ("kb", (0,), 17.0),
        ("q", (0, 0), -0.0),
    ):
        with pytest.raises(VerificationError, match=f"weight '{name}' is neither"):
            proven(before, changed(sparse, name, place, value), inputs(), 5)


def test_a_graph_that_computes_something_else_is_refused() -> None:
    before = model()
    sparse, _ = sparsified(before, 0.3)
    (node,) = [node for node in sparse.graph if node.name == "fc"]
    node.attributes["alpha"] = ir.AttrFloat32("alpha", 1.01)
    with pytest.raises(VerificationError, match="differs from the masked original"):
        proven(before, sparse, inputs(), 5)


def test_zeros_that_are_lost_are_seen() -> None:
    sparse, _ = sparsified(model(), 0.6)
    zeros_stay(sparse, sparse)
    place = tuple(int(i[0]) for i in np.nonzero(weights_of(sparse)["w"] == 0))
    zeros_stay(sparse, changed(sparse, "kb", (0,), 17.0))
    with pytest.raises(VerificationError, match="weight 'w': 1 zeros were lost"):
        zeros_stay(sparse, changed(sparse, "w", place, 0.5))
