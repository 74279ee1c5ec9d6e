"""Units that never vary go, fold into biases, and nothing is lost; others stay."""

from typing import Any

import numpy as np
import onnx
import pytest
from oracle import Arrays, proto_of, run

import onnxtrim
from onnxtrim.errors import BudgetError, UsageError

RNG = np.random.default_rng(21)
NET = """<ir_version: 8, opset_import: ["": 17]> g (float[N,2,6,6] x) => (float[N,3] y) {
  [one] a = Conv <kernel_shape = [3, 3]> (x, w1, b1) b = Relu (a)
  [two] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b, w2, b2) d = Relu (c)
  [three] e = Conv <kernel_shape = [1, 1]> (d, w3) f = Relu (e)
  g1 = GlobalAveragePool (f) h = Flatten (g1)
  [last] y = Gemm (h, w4, b4)
}"""
SIZES = {
    "w1": (6, 2, 3, 3), "b1": (6,), "w2": (8, 6, 3, 3), "b2": (8,), "w3": (5, 8, 1, 1),
    "w4": (5, 3), "b4": (3,),
}  # fmt: skip
IMAGES = RNG.normal(size=(64, 2, 6, 6)).astype("f4")


def net(**still: dict[int, float]) -> onnx.ModelProto:
    """Returns a net in which some channels of `one` and `two` are a figure, whatever comes in."""
    weights: Arrays = {name: RNG.normal(size=size).astype("f4") for name, size in SIZES.items()}
    for layer, figures in still.items():
        place = {"one": "1", "two": "2"}[layer]
        for channel, figure in figures.items():
            weights[f"w{place}"][channel] = 0.0
            weights[f"b{place}"][channel] = figure
    return proto_of(NET, weights)


def pruned(model: onnx.ModelProto, **options: Any) -> onnxtrim.PruneResult:  # noqa: ANN401
    return onnxtrim.prune(model, IMAGES, lossless=True, **{"align": "none", **options})


def test_what_never_varies_goes_and_the_outputs_stay() -> None:
    """Dead ones in front of a padded layer; in front of a pointwise one, a constant, too."""
    model = net(one={1: -3.0}, two={0: 2.0, 3: -1.0, 7: 0.5})
    result = pruned(model)
    assert {row.name: row.after for row in result.report.groups} == {
        "one": 5, "two": 5, "three": 5,
    }  # fmt: skip
    other = RNG.normal(size=(16, 2, 6, 6)).astype("f4")
    for x in (IMAGES, other):
        want, got = (run(m, {"x": x})["y"] for m in (model, result.model))
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
    compensation = result.report.compensation
    assert compensation is not None
    assert compensation.way == "local"
    assert compensation.trials[0].relative_error < 1e-5
    assert (compensation.samples, compensation.held_out) == (64, 0)


UP = """<ir_version: 8, opset_import: ["": 17]> g (float[N,2,6,6] x) => (float[N,3,8,8] y) {
  [one] a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w1, b1) b = Relu (a)
  [up] y = ConvTranspose <kernel_shape = [3, 3]> (b, w2)
}"""


def test_what_is_dead_goes_from_a_reader_that_cannot_be_fitted_and_nothing_else_is_done() -> None:
    sizes = {"w1": (6, 2, 3, 3), "b1": (6,), "w2": (6, 3, 3, 3)}
    weights: Arrays = {name: RNG.normal(size=size).astype("f4") for name, size in sizes.items()}
    weights["w1"][[0, 4]], weights["b1"][[0, 4]] = 0.0, -1.0
    model = proto_of(UP, weights)
    result = pruned(model)
    assert [row.after for row in result.report.groups] == [4]
    want, got = (run(m, {"x": IMAGES})["y"] for m in (model, result.model))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert result.report.compensation is not None
    assert result.report.compensation.trials[0].relative_error < 1e-5
    with pytest.raises(BudgetError, match="--lossless: every channel varies on the data"):
        pruned(model, criterion="l1")  # by which nothing is measured


def test_a_constant_before_a_padded_layer_stays() -> None:
    """At the border it meets zeros, so that no bias can stand for it."""
    with pytest.raises(BudgetError, match="--lossless: every channel varies on the data"):
        pruned(net(one={2: 1.5}))


def test_steps_that_are_not_filled_keep_what_could_go() -> None:
    with pytest.raises(BudgetError, match="to fill a step of 8 channels; give a budget instead"):
        pruned(net(two={0: 2.0}), align=8)


@pytest.mark.parametrize("other", [{"macs": 0.5}, {"below_std": 1.0}])
def test_it_takes_no_budget(other: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"--lossless and --.* contradict each other"):
        pruned(net(), **other)


def test_it_takes_data() -> None:
    with pytest.raises(UsageError, match="--lossless runs the model on samples; give --data"):
        onnxtrim.prune(net(), None, lossless=True, criterion="l1")


def test_without_compensation_there_is_nothing_to_fold_by() -> None:
    with pytest.raises(UsageError, match="--lossless folds what goes into biases"):
        pruned(net(two={0: 2.0}), compensate="none")
