"""Losses as graphs, against numpy."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finetune.twin.checking import Gradients, assert_close, differences, inputs_of, student_of
from onnxtrim.finetune.losses import Goal, GoalKind, Slimming, one_hot, softened, with_loss
from onnxtrim.finetune.twin import twin_of
from onnxtrim.finetune.twin.fixed_norms import with_fixed_norms
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


def loss_of(model: ir.Model, *goals: Goal, x: Array = Y, **targets: Array) -> float:
    """Returns what the graph says."""
    run = Runner(with_loss(model, goals))
    (name,) = run.output_names
    named = {goal.target: targets[goal.output] for goal in goals}
    (loss,) = [run({"x": x, **named})[name]]
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


@pytest.mark.parametrize("opset", OPSETS)
def test_bce_is_that_of_the_probabilities_above_the_least_that_there_is(opset: int) -> None:
    wanted_shares = np.array([[0, 1, 0.25]] * 5, np.float32)
    wide = 1 / (1 + np.exp(-Y.astype(np.float64)))
    cross = -wanted_shares * np.log(wide) - (1 - wanted_shares) * np.log(1 - wide)
    least = (0.25 * np.log(4) + 0.75 * np.log(4 / 3)) / 3
    found = loss_of(net(opset), Goal("y", "bce"), y=wanted_shares)
    assert found == pytest.approx(np.mean(cross) - least, rel=1e-5)


def test_bce_of_one_score_by_hand() -> None:
    # -log sigmoid(0) = log 2, and -log(1 - sigmoid(log 3)) = log 4
    scores = np.array([[0, np.log(3), 0]] * 5, np.float32)
    shares = np.array([[1, 0, 0.5]] * 5, np.float32)
    wanted = (np.log(2) + np.log(4) + 0) / 3
    assert loss_of(net(), Goal("y", "bce"), x=scores, y=shares) == pytest.approx(wanted, rel=1e-6)


def test_bce_of_scores_that_no_exponential_holds_is_finite() -> None:
    scores = np.array([[1e4, -1e4, 1e4]] * 5, np.float32)
    shares = np.array([[0, 1, 1]] * 5, np.float32)
    found = loss_of(net(), Goal("y", "bce"), x=scores, y=shares)
    assert found == pytest.approx(2e4 / 3, rel=1e-6)


@given(
    scores=arrays(np.float32, (5, 3), elements=st.floats(-30, 30, width=32)),
    shares=arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)),
)
def test_no_scores_are_better_than_those_of_the_probabilities_themselves(
    scores: Array, shares: Array
) -> None:
    assert loss_of(net(), Goal("y", "bce"), x=scores, y=shares) >= -1e-5


def test_the_loss_is_the_sum_of_all_times_their_weights() -> None:
    goals = Goal("y", "mse", weight=0.25), Goal("w", "l1", weight=3.0)
    wanted = 0.25 * np.mean((Y - T) ** 2) + 3 * np.mean(np.abs(-Y - T))
    assert loss_of(net(), *goals, y=T, w=T) == pytest.approx(wanted, rel=1e-6)


def test_one_output_may_have_a_goal_by_labels_and_one_by_a_teacher() -> None:
    hot = one_hot(np.array([2, 0, 1, 1, 0]), (5, 3))
    told = Goal("y", "cross-entropy", sizes=(3,), weight=0.75, labelled=True)
    taught = replace(told, temperature=2.0, weight=0.25, labelled=False)
    model = with_loss(net(), [told, taught])
    (name,) = Runner(model).output_names
    soft = softened(T, 2.0)
    fed = {"x": Y, told.target: hot, taught.target: soft}
    wanted = 0.75 * loss_of(net(), replace(told, weight=1), y=hot)
    wanted += 0.25 * loss_of(net(), replace(taught, weight=1), y=soft)
    assert float(Runner(model)(fed)[name]) == pytest.approx(wanted, rel=1e-6)


def test_the_model_itself_keeps_its_outputs() -> None:
    model = net()
    with_loss(model, [Goal("y", "mse")])
    assert [value.name for value in model.graph.outputs] == ["y", "w"]
    assert [value.name for value in model.graph.inputs] == ["x"]


NET = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[N, 3] x) => (float[N, 3] y) { h = Gemm (x, w) g = Tanh (h) y = Gemm (g, v, b) }
"""


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "mse", "l1"])
def test_the_training_runtime_has_the_derivatives_of(kind: GoalKind, gradients: Gradients) -> None:
    rng = np.random.default_rng(6)
    weights = {"w": (3, 4), "v": (4, 3), "b": (3,)}
    student = student_of(NET, **{n: rng.normal(size=s).astype("f4") for n, s in weights.items()})
    goal = Goal("y", kind, temperature=2.0, sizes=(3,), spread=0.5, weight=1.5)
    twin, inputs = twin_of(student), inputs_of(student)
    target = {"cross-entropy": softened(T[:2], 2.0), "bce": softened(T[:2], 1.0)}.get(kind, T[:2])
    fed, ones = {**inputs, goal.target: target}, {"loss": np.ones((), np.float32)}
    trained = replace(twin, learner=with_loss(twin.learner, [goal]))
    found = gradients(trained, fed, ones)
    for name, want in differences(with_loss(student, [goal]), twin.trainable, fed, ones).items():
        assert_close(found[name], want)


NORMED = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[N, 3, 2] x) => (float[N, 3, 2] y) { y = BatchNormalization (x, s, b, m, v) }
"""


@pytest.mark.parametrize("live", [False, True])
def test_slimming_adds_the_signs_of_scales_to_their_derivatives(
    gradients: Gradients, live: bool
) -> None:
    scale = np.array([0.5, -2.0, 0.0], np.float32)
    ones = np.ones(3, np.float32)
    student = student_of(NORMED, s=scale, b=ones, m=0 * ones, v=ones)
    twin, goal = twin_of(student), Goal("y", "mse")
    learner = twin.learner if live else with_fixed_norms(twin.learner)
    fed = {**inputs_of(student), goal.target: np.zeros((2, 3, 2), np.float32)}
    seeds = {"loss": np.ones((), np.float32)}
    plain, slimmed = (
        gradients(replace(twin, learner=with_loss(learner, [goal], each)), fed, seeds)
        for each in (None, Slimming(("s", "elsewhere"), 0.25))
    )
    assert twin.trainable == ("s", "b")
    np.testing.assert_allclose(slimmed["s"] - plain["s"], [0.25, -0.25, 0], rtol=1e-5)
    np.testing.assert_allclose(slimmed["b"], plain["b"], rtol=1e-6)
    if not live:  # what normalises by the batch is no function of one sample
        model = with_loss(student, [goal], Slimming(("s",), 0.25))
        wanted = differences(model, ("s",), fed, seeds)["s"]
        np.testing.assert_allclose(slimmed["s"][:2], wanted[:2], rtol=1e-2)


def test_slimming_is_the_sum_of_sizes_times_the_weight() -> None:
    ones = np.ones(3, np.float32)
    scale = np.array([0.5, -2.0, 0.0], np.float32)
    student = student_of(NORMED, s=scale, b=ones, m=0 * ones, v=ones)
    goal = Goal("y", "mse")
    fed = {**inputs_of(student), goal.target: np.zeros((2, 3, 2), np.float32)}
    plain, slimmed = (
        float(Runner(with_loss(student, [goal], each))(fed)["loss"])
        for each in (None, Slimming(("s",), 0.1))
    )
    assert slimmed - plain == pytest.approx(0.1 * 2.5, rel=1e-5)


def test_the_derivative_of_bce_is_right_at_0_where_its_parts_have_none(
    gradients: Gradients,
) -> None:
    zeros = {"w": np.zeros((3, 4), "f4"), "v": np.zeros((4, 3), "f4"), "b": np.zeros(3, "f4")}
    student = student_of(NET, **zeros)
    goal, shares = Goal("y", "bce"), np.array([[0, 1, 0.25]] * 2, np.float32)
    twin = twin_of(student)
    trained = replace(twin, learner=with_loss(twin.learner, [goal]))
    fed = {**inputs_of(student), goal.target: shares}
    found = gradients(trained, fed, {"loss": np.ones((), np.float32)})
    # sigmoid(0) - t, summed over two samples, is a third of it for each of two in the mean
    np.testing.assert_allclose(found["b"], np.array([0.5, -0.5, 0.25]) / 3, rtol=1e-6)
