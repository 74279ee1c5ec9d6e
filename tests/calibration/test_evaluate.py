"""Accuracy, agreement and relative error, worked out by hand."""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from oracle import Arrays, proto_of

from onnxtrim.calibration import Evaluation, Judge, input_specs, open_data
from onnxtrim.calibration.evaluate import Metric
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError
from onnxtrim.graph import load, normalize

# y = x w: what comes out is written down as rows of w.
TABLE = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, C] y) {
  y = MatMul(x, w)
}"""
ROWS = np.eye(4, dtype=np.float32)


def table(*rows: list[float], batch: str = "N") -> ir.Model:
    """Returns a model that answers sample i, row i of the identity, with `rows[i]`."""
    w = np.array(rows, dtype=np.float32)
    text = TABLE.replace("N", batch, 2).replace("C", str(w.shape[1]))
    return normalize(load(proto_of(text, {"w": w})))


def compared(
    before: ir.Model,
    after: ir.Model,
    x: npt.NDArray[np.float32] = ROWS,
    labels: list[int] | None = None,
    size: int = 64,
) -> Evaluation:
    source = x if labels is None else (x, np.array(labels))
    data = open_data(source, input_specs(before), DataConfig())
    return Judge(before, data, batch_size=size)(after)


OLD = ([3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 5.0], [1.0, 0.0, 0.0])
NEW = ([3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 1.0])  # rows 1 and 3 differ


@pytest.mark.parametrize("size", [1, 3, 4])
def test_accuracy_is_the_share_of_right_answers(size: int) -> None:
    found = compared(table(*OLD), table(*NEW), labels=[0, 1, 2, 2], size=size)
    assert found.metric.name == "accuracy"
    assert found.metric.before == 3 / 4  # says 0, 1, 2, 0
    assert found.metric.after == 3 / 4  # says 0, 0, 2, 2
    assert found.agreement == 2 / 4


def test_agreement_needs_no_labels() -> None:
    found = compared(table(*OLD), table(*NEW))
    assert (found.metric.name, found.metric.before, found.metric.after) == ("agreement", 1.0, 0.5)
    assert found.agreement == 0.5


@pytest.mark.parametrize("size", [1, 3, 4])
def test_the_relative_error_is_over_all_outputs(size: int) -> None:
    found = compared(table(*OLD), table(*NEW), size=size)
    # (4^2 + 4^2) + (1 + 1) over 9 + 16 + 25 + 1
    assert found.relative_error == pytest.approx((34 / 51) ** 0.5, rel=1e-7)


def test_a_single_output_is_no_classifier() -> None:
    before, after = table([2.0], [1.0], [0.0], [2.0]), table([2.0], [1.0], [3.0], [2.0])
    found = compared(before, after, labels=[0, 0, 0, 0])
    assert found.metric.name == "relative_error"
    assert found.metric.before == 0.0
    assert found.metric.after == pytest.approx(1.0, rel=1e-7)  # 3 / sqrt(4 + 1 + 4)
    assert found.agreement is None


def test_samples_that_only_fill_the_batch_up_do_not_count() -> None:
    """Six samples, batches of four; the last one, wrong after the cut, is repeated twice."""
    x = np.concatenate([ROWS, ROWS[:2]])
    pair = table(*OLD, batch="4"), table(*NEW, batch="4")
    found = compared(*pair, x, labels=[0, 1, 2, 0, 0, 1])
    assert found.metric.before == 6 / 6
    assert found.metric.after == 3 / 6
    assert found.agreement == 3 / 6
    assert found.relative_error == pytest.approx((66 / 76) ** 0.5, rel=1e-7)


IMAGE = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 3, 1, 1] y) {
  m = MatMul(x, w)
  y = Reshape(m, target)
}"""


def test_scores_may_have_further_axes_of_size_one() -> None:
    target = np.array([-1, 3, 1, 1])
    models = [
        normalize(load(proto_of(IMAGE, {"w": np.array(rows, np.float32), "target": target})))
        for rows in (OLD, NEW)
    ]
    found = compared(models[0], models[1], labels=[0, 1, 2, 2])
    assert (found.metric.before, found.metric.after, found.agreement) == (0.75, 0.75, 0.5)


TWO = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 4] x) => (float[N, 3] y, float[N, 3] z) {
  y = MatMul(x, w)
  z = Neg(y)
}"""


def test_several_outputs_are_no_classifier() -> None:
    models = [normalize(load(proto_of(TWO, {"w": np.array(r, np.float32)}))) for r in (OLD, NEW)]
    found = compared(models[0], models[1], labels=[0, 1, 2, 2])
    assert found.metric.name == "relative_error"
    assert found.metric.after == pytest.approx((34 / 51) ** 0.5, rel=1e-7)


# Four tokens a sample, one row of scores a token: more rows than samples.
TOKENS = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 4] x) => (float[M, 3] y) {
  f = Reshape(x, target)
  y = MatMul(f, w)
}"""


def test_outputs_with_more_rows_than_samples_count_in_full() -> None:
    weights: list[Arrays] = [
        {"w": np.array(rows, np.float32), "target": np.array([-1, 4])} for rows in (OLD, NEW)
    ]
    models = [normalize(load(proto_of(TOKENS, w))) for w in weights]
    x = np.zeros((2, 4, 4), np.float32)
    x[0, :, 0] = 1  # four tokens that both models agree on
    x[1] = ROWS
    found = compared(models[0], models[1], x)
    # sample 0: 4 x 9 without a difference; sample 1: 34 of 51
    assert found.relative_error == pytest.approx((34 / 87) ** 0.5, rel=1e-7)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_labels_of_outputs_with_more_rows_than_samples_are_left_alone(size: int) -> None:
    """Eight rows of three scores, and two labels: it is no classifier of samples."""
    weights: list[Arrays] = [
        {"w": np.array(rows, np.float32), "target": np.array([-1, 4])} for rows in (OLD, NEW)
    ]
    models = [normalize(load(proto_of(TOKENS, w))) for w in weights]
    x = np.stack([ROWS, ROWS])
    found = compared(models[0], models[1], x, labels=[0, 1], size=size)
    assert found.metric.name == "relative_error"
    assert found.metric.before == 0.0
    assert found.metric.after == pytest.approx((34 / 51) ** 0.5, rel=1e-7)
    assert found.agreement is None


# One row of four figures, whatever the number of samples.
TOTAL = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[A, B] y) {
  m = MatMul(x, w)
  y = ReduceMean <axes=[0]> (m)
}"""


def test_labels_of_outputs_without_an_axis_of_samples_are_left_alone() -> None:
    models = [normalize(load(proto_of(TOTAL, {"w": np.array(r, np.float32)}))) for r in (OLD, NEW)]
    found = compared(models[0], models[1], labels=[0, 1, 2, 2])
    assert (found.metric.name, found.agreement) == ("relative_error", None)
    # the sums of the columns are 4, 4, 5 before and 7, 0, 6 after
    assert found.relative_error == pytest.approx(((9 + 16 + 1) / 57) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (([3.0, 0.0], [4.0, 0.0], [0.0, 5.0], [0.0, 1.0]), (4, 2)),
        (([3.0], [4.0], [0.0], [0.0]), (4, 1)),  # it would fit by broadcasting
    ],
)
def test_outputs_that_differ_in_size_are_refused(
    rows: tuple[list[float], ...], sizes: tuple[int, int]
) -> None:
    for pair, after, before in (
        ((table(*OLD), table(*rows)), sizes, (4, 3)),
        ((table(*rows), table(*OLD)), (4, 3), sizes),
    ):
        with pytest.raises(DataError) as caught:
            compared(*pair)
        assert str(caught.value) == (
            f"output 'y' has sizes {after} after and {before} before; compare models of one "
            "interface"
        )


def test_a_model_that_answers_nothing_has_no_error() -> None:
    zero = table([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    found = compared(zero, zero)
    assert (found.relative_error, found.agreement) == (0.0, 1.0)


def test_progress_says_how_far_it_is() -> None:
    heard: list[tuple[str, int, int]] = []
    model = table(*OLD)
    data = open_data(ROWS, input_specs(model), DataConfig())
    Judge(model, data, batch_size=3)(model, lambda *what: heard.append(what))
    assert heard == [("evaluating", 3, 4), ("evaluating", 4, 4)]


@pytest.mark.parametrize("labels", [None, [0, 1, 2, 2]])
@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_judge_says_the_same_each_time(labels: list[int] | None, size: int) -> None:
    """What the original answers is computed once; who was judged in between is no matter."""
    source = ROWS if labels is None else (ROWS, np.array(labels))
    old, new = table(*OLD), table(*NEW)
    judge = Judge(old, open_data(source, input_specs(old), DataConfig()), batch_size=size)
    first = judge(new)
    assert judge(old).relative_error == 0.0
    assert judge(old).agreement == 1.0
    assert judge(new) == first == compared(old, new, labels=labels, size=size)


def test_what_the_original_answers_is_computed_once() -> None:
    old, new = table(*OLD), table(*NEW)
    judge = Judge(old, open_data(ROWS, input_specs(old), DataConfig()))
    first = judge(new)
    old.graph.initializers["w"].const_value = new.graph.initializers["w"].const_value
    assert judge(new) == first


def test_answers_that_are_not_kept_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxtrim.calibration.evaluate._KEPT_BYTES", 20)
    old, new = table(*OLD), table(*NEW)
    judge = Judge(old, open_data(ROWS, input_specs(old), DataConfig()), batch_size=1)
    assert [judge(new).agreement for _ in range(3)] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("metric", "drop"),
    [
        (Metric("accuracy", 0.75, 0.5), 0.25),
        (Metric("accuracy", 0.5, 0.75), -0.25),
        (Metric("agreement", 1.0, 0.75), 0.25),
        (Metric("relative_error", 0.0, 0.25), 0.25),
        (Metric("f1", 80.0, 77.5), 2.5),
    ],
)
def test_a_drop_is_what_is_lost(metric: Metric, drop: float) -> None:
    assert metric.drop == drop


def first_weight(proto: onnx.ModelProto) -> float:
    """Returns the first figure of the table: a metric of one's own."""
    return float(numpy_helper.to_array(proto.graph.initializer[0]).flat[0])


class TestOwnMetric:
    """A function of one's own in place of the metric that fits."""

    def judged(self, metric: Any, after: ir.Model | None = None) -> Evaluation:  # noqa: ANN401
        old = table(*OLD)
        data = open_data((ROWS, np.array([0, 1, 2, 2])), input_specs(old), DataConfig())
        return Judge(old, data, metric=metric)(table(*NEW) if after is None else after)

    def test_it_sees_both_models_as_protobufs(self) -> None:
        seen: list[onnx.ModelProto] = []

        def size(proto: onnx.ModelProto) -> float:
            onnx.checker.check_model(proto)
            seen.append(proto)
            return first_weight(proto)

        found = self.judged(size, table([2.5, 0.0, 0.0], *OLD[1:]))
        assert found.metric == Metric("size", before=3.0, after=2.5)
        assert found.metric.drop == 0.5
        assert [first_weight(proto) for proto in seen] == [3.0, 2.5]

    def test_what_else_is_said_stays(self) -> None:
        plain, own = self.judged(None), self.judged(first_weight)
        assert plain.metric.name == "accuracy"
        assert (own.agreement, own.relative_error) == (plain.agreement, plain.relative_error)

    def test_the_original_is_looked_at_once(self) -> None:
        seen: list[float] = []

        def figure(proto: onnx.ModelProto) -> float:
            seen.append(first_weight(proto))
            return 1.0

        old = table(*OLD)
        data = open_data(ROWS, input_specs(old), DataConfig())
        judge = Judge(old, data, metric=figure)
        for first in (1.0, 2.0):
            judge(table([first, 0.0, 0.0], *OLD[1:]))
        assert seen == [3.0, 1.0, 2.0]

    def test_anything_that_can_be_called_has_a_name(self) -> None:
        class Ranking:
            def __call__(self, proto: onnx.ModelProto) -> float:
                return 1.0

        assert self.judged(Ranking()).metric.name == "Ranking"
        assert self.judged(first_weight).metric.name == "first_weight"

    @pytest.mark.parametrize("name", ["relative_error", "agreement", "accuracy"])
    def test_a_higher_figure_is_better_whatever_it_is_called(self, name: str) -> None:
        def own(proto: onnx.ModelProto) -> float:
            return first_weight(proto)

        own.__name__ = name
        better = self.judged(own, table([5.0, 0.0, 0.0], *OLD[1:]))
        assert better.metric == Metric(f"own {name}", 3.0, 5.0)
        assert better.metric.drop == -2.0

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_figure_is_finite(self, value: float) -> None:
        def odd(proto: onnx.ModelProto) -> float:
            return value

        with pytest.raises(DataError) as caught:
            self.judged(odd)
        assert str(caught.value) == f"--metric odd: returned {value}; return a finite figure"

    @pytest.mark.parametrize("value", ["good", None, [1, 2], {"accuracy": 0.5}])
    def test_what_is_no_figure_is_refused(self, value: object) -> None:
        def odd(proto: onnx.ModelProto) -> object:
            return value

        with pytest.raises(DataError) as caught:
            self.judged(odd)
        message = str(caught.value)
        assert re.match(r"--metric odd: (Type|Value)Error: \S", message)
        assert message.endswith("; it takes an onnx.ModelProto and returns a figure")

    def test_what_it_raises_is_one_line(self) -> None:
        def failing(proto: onnx.ModelProto) -> float:
            raise RuntimeError("no such\n  table")

        with pytest.raises(DataError) as caught:
            self.judged(failing)
        assert str(caught.value) == (
            "--metric failing: RuntimeError: no such table; it takes an onnx.ModelProto and "
            "returns a figure"
        )
