"""Losses as graphs, against numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.finetune.losses import Goal, one_hot, softened, target_name, with_loss
from onnxtrim.graph.runtime import Runner

Array = npt.NDArray[Any]
RNG = np.random.default_rng(3)
Y, T = RNG.normal(size=(5, 3)).astype("f4"), RNG.normal(size=(5, 3)).astype("f4")
OPSETS = [7, 11, 13, 18, 21]


def net(opset: int = 13) -> ir.Model:
    """Returns y = x and w = -x."""
    text = f"""
    <ir_version: 7, opset_import: ["" : {opset}]>
    net (float[N, 3] x) => (float[N, 3] y, float[N, 3] w) {{ y = Identity (x) w = Neg (x) }}
    """
    return ir.from_proto(onnx.parser.parse_model(text))


def loss_of(model: ir.Model, *goals: Goal, **targets: Array) -> float:
    """Returns what the graph says."""
    run = Runner(with_loss(model, goals))
    (name,) = run.output_names
    named = {target_name(output): target for output, target in targets.items()}
    (loss,) = [run({"x": Y, **named})[name]]
    assert loss.shape == ()
    return float(loss)


def log_softmax(scores: Array) -> Array:
    wide = scores.astype(np.float64)
    logs: Array = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return logs


@pytest.mark.parametrize("opset", OPSETS)
def test_mse_and_l1_are_relative_to_the_spread_of_the_teacher(opset: int) -> None:
    mse, l1 = Goal("y", "mse", spread=2.0), Goal("y", "l1", spread=2.0)
    off = Y.astype(np.float64) - T
    assert loss_of(net(opset), mse, y=T) == pytest.approx(np.mean(off**2) / 4, rel=1e-6)
    assert loss_of(net(opset), l1, y=T) == pytest.approx(np.mean(np.abs(off)) / 2, rel=1e-6)


@pytest.mark.parametrize("opset", OPSETS)
def test_with_one_hot_targets_it_is_the_cross_entropy_with_the_labels(opset: int) -> None:
    labels = np.array([2, 0, 1, 1, 0])
    goal = Goal("y", "cross-entropy", sizes=(3,))
    wanted = -np.mean(log_softmax(Y)[np.arange(5), labels])
    assert loss_of(net(opset), goal, y=one_hot(labels, (5, 3))) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softened_targets_give_the_divergence_times_the_square_of_the_temperature(
    temperature: float,
) -> None:
    goal = Goal("y", "cross-entropy", temperature, (3,))
    taught, said = log_softmax(T / temperature), log_softmax(Y / temperature)
    wanted = temperature**2 * np.sum(np.exp(taught) * (taught - said)) / 5
    found = loss_of(net(), goal, y=softened(T, temperature))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert loss_of(net(), goal, y=softened(Y, temperature)) == pytest.approx(0, abs=1e-5)


def test_several_outputs_count_alike() -> None:
    goals = Goal("y", "mse"), Goal("w", "l1")
    wanted = (np.mean((Y - T) ** 2) + np.mean(np.abs(-Y - T))) / 2
    assert loss_of(net(), *goals, y=T, w=T) == pytest.approx(wanted, rel=1e-6)


def test_a_classifier_may_have_axes_of_one_position_behind_the_classes() -> None:
    assert one_hot(np.array([1, 0]), (2, 2, 1, 1)).tolist() == [
        [[[0.0]], [[1.0]]],
        [[[1.0]], [[0.0]]],
    ]


def test_softened_scores_do_not_overflow_and_sum_up_to_1() -> None:
    shares = softened(np.array([[1e4, 0.0], [0.0, 0.0]], np.float32), 2.0)
    np.testing.assert_array_equal(shares, np.array([[1, 0], [0.5, 0.5]], np.float32))


def test_the_model_itself_keeps_its_outputs() -> None:
    model = net()
    with_loss(model, [Goal("y", "mse")])
    assert [value.name for value in model.graph.outputs] == ["y", "w"]
    assert [value.name for value in model.graph.inputs] == ["x"]
