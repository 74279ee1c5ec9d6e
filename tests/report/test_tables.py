"""The rows that people read."""

from collections.abc import Callable

import pytest
from documents import (
    AFTER,
    BEFORE,
    CANDIDATES,
    CURVES,
    FROZEN,
    comparison,
    inspection,
    report,
    sensitivity,
    sparse_report,
    tuned_report,
    tuning,
)

from onnxtrim.report import (
    CandidateRow,
    Change,
    Comparison,
    Document,
    Inspection,
    MetricValue,
    Report,
    Side,
)
from onnxtrim.report.tables import Table, figure, pace, tables


def named(document: Document, title: str) -> Table:
    (found,) = [table for table in tables(document) if table.title == title]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1_000, "1 k"),
        (1_234, "1.23 k"),
        (431_080, "431 k"),
        (999_499, "999 k"),
        (999_600, "1 M"),
        (999_999, "1 M"),
        (1_000_000, "1 M"),
        (2_293_000, "2.29 M"),
        (999_999_999, "1 G"),
        (1_048_200_000, "1.05 G"),
        (12_345_678_901, "12.3 G"),
    ],
)
def test_counts_have_three_digits_and_a_unit(value: int, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    "document",
    [report(), report(candidates=CANDIDATES), comparison(), inspection(), sensitivity()],
)
def test_rows_are_as_wide_as_the_head(document: Document) -> None:
    found = tables(document)
    assert found
    for table in found:
        assert table.rows
        assert all(len(row) == len(table.head) for row in table.rows)
        assert all(isinstance(cell, str) for row in table.rows for cell in row)


def test_the_groups_of_a_report() -> None:
    table = named(report(), "Groups")
    assert table.head == ("group", "before", "after", "kept", "step", "score")
    assert table.rows == (
        ("conv1", "20", "12", "60%", "16", "0.25 .. 0.75"),
        ("conv[2]|x", "50", "32", "64%", "16", "0 .. 0.66"),
    )


@pytest.mark.parametrize("document", [report(), inspection()])
def test_every_frozen_group_and_its_reason(document: Report | Inspection) -> None:
    table = named(document, "Frozen")
    assert [row[0] for row in table.rows] == [row.name for row in FROZEN]
    for row, frozen in zip(table.rows, FROZEN, strict=True):
        assert frozen.code in row[2]
        assert frozen.reason in row[2]


def test_the_result_of_a_report() -> None:
    assert named(report(), "Result").rows == (
        ("parameters", "431 k", "271 k", "0.630"),
        ("MACs", "2.29 M", "1.05 M", "0.457"),
        ("file bytes", "1.73 M", "1.09 M", "0.630"),
        ("latency, ms", "0.222", "0.132", "0.575 (0.349 .. 0.956, 201 pairs)"),
        ("accuracy", "99.00%", "96.50%", "-2.50 points"),
        ("agreement", "", "97.50%", ""),
        ("output error", "", "0.0123", ""),
    )


def test_the_result_of_a_comparison() -> None:
    rows = named(comparison(), "Result").rows
    assert rows == named(report(), "Result").rows
    assert rows[5:] == (
        ("agreement", "", "97.50%", ""),
        ("output error", "", "0.0123", ""),
    )


def test_more_right_answers_are_more_points() -> None:
    sides = {
        name: Side(s.params, s.macs, s.bytes, None, MetricValue("accuracy", value))
        for name, s, value in (("before", BEFORE, 0.5), ("after", AFTER, 0.6249))
    }
    rows = named(report(**sides), "Result").rows
    assert rows[3] == ("accuracy", "50.00%", "62.49%", "+12.49 points")


@pytest.mark.parametrize("document", [report, comparison])
@pytest.mark.parametrize(
    ("name", "values"), [("relative_error", (0.0, 0.01234)), ("agreement", (1.0, 0.975))]
)
def test_a_metric_that_compares_with_the_original_has_no_row_of_its_own(
    document: Callable[..., Report | Comparison], name: str, values: tuple[float, float]
) -> None:
    """It is one of the two that follow, which need no side of the original."""
    sides = {
        side: Side(s.params, s.macs, s.bytes, None, MetricValue(name, value))
        for side, s, value in zip(("before", "after"), (BEFORE, AFTER), values, strict=True)
    }
    rows = named(document(**sides, relative_error=0.01234), "Result").rows
    assert rows[3:] == (("agreement", "", "97.50%", ""), ("output error", "", "0.0123", ""))
    rows = named(document(**sides, agreement=None, relative_error=12.345), "Result").rows
    assert rows[3:] == (("output error", "", "12.3", ""),)


@pytest.mark.parametrize("document", [report, comparison])
def test_what_was_not_measured_has_no_row(
    document: Callable[..., Report | Comparison],
) -> None:
    bare = {"before": Side(10, 0, 20), "after": Side(5, 0, 10)}
    rows = named(document(**bare, agreement=None, relative_error=None), "Result").rows
    assert rows == (
        ("parameters", "10", "5", "0.500"),
        ("MACs", "0", "0", ""),
        ("file bytes", "20", "10", "0.500"),
    )


def test_without_pairs_there_is_no_row_of_latencies() -> None:
    rows = named(report(latency_ratio=None), "Result").rows
    assert [row[0] for row in rows] == [
        "parameters", "MACs", "file bytes", "accuracy", "agreement", "output error",
    ]  # fmt: skip


def test_tables_without_rows_are_left_out() -> None:
    titles = [table.title for table in tables(report(groups=(), frozen=()))]
    assert titles == ["Result"]
    assert tables(inspection(groups=(), frozen=(), barriers=())) == []


def test_what_inspect_found() -> None:
    table = named(inspection(), "Groups that can be cut")
    assert table.head == (
        "group",
        "width",
        "step",
        "MACs / unit",
        "params / unit",
        "zeros",
        "tensors",
    )
    assert table.rows == (
        ("conv1", "20", "16", "1.25 k", "76", "0.453", "a, w1"),
        ("conv[2]|x", "50", "16", "", "", "", "a, b, c ..."),
    )


CRITERIA = "Criteria, each with a plan of its own for one budget"


def test_the_criteria_that_were_compared_come_first() -> None:
    found = tables(report(candidates=CANDIDATES))
    assert [table.title for table in found] == [CRITERIA, "Groups", "Frozen", "Result"]
    assert found[0].head == ("criterion", "MACs left", "output error", "accuracy", "")
    assert found[0].rows == (
        ("reconstruction", "0.499", "0.0123", "96.50%", "chosen"),
        ("mean", "0.491", "0.0567", "94.25%", ""),
        ("random", "0.500", "0.789", "10.10%", ""),
    )
    assert CRITERIA not in [table.title for table in tables(report())]


def test_an_error_of_the_outputs_is_not_shown_twice() -> None:
    row = CandidateRow("l1", 0.5, 0.25, MetricValue("relative_error", 0.25), chosen=True)
    table = named(report(candidates=(row,)), CRITERIA)
    assert table.head == ("criterion", "MACs left", "output error", "")
    assert table.rows == (("l1", "0.500", "0.25", "chosen"),)


def test_curves_say_what_is_left_once_so_many_units_are_gone() -> None:
    (table,) = tables(sensitivity())
    assert table.title == "Units removed: accuracy (99.00% with none removed)"
    assert table.head == ("group", "width", "", "")
    assert table.rows == (
        ("conv1", "20", "9: 98.75%", "18: 50.00%"),
        ("conv[2]|x", "50", "1: 99.00%", ""),
        ("whole", "1", "", ""),
    )


def test_a_metric_of_ones_own_is_no_percentage() -> None:
    (table,) = tables(sensitivity(whole=MetricValue("f1", 87.654), curves=CURVES[1:2]))
    assert table.title == "Units removed: f1 (87.7 with none removed)"
    assert table.rows == (("conv[2]|x", "50", "1: 0.99"),)
    sides = {
        name: Side(s.params, s.macs, s.bytes, None, MetricValue("f1", value))
        for name, s, value in (("before", BEFORE, 87.654321), ("after", AFTER, 85.0))
    }
    rows = named(report(**sides), "Result").rows
    assert rows[3] == ("f1", "87.654", "85", "-2.65")


def test_without_groups_there_are_no_curves() -> None:
    assert tables(sensitivity(curves=())) == []


def test_barriers_with_one_reason_share_a_row() -> None:
    (table,) = [t for t in tables(inspection()) if t.title.startswith("Barriers")]
    assert table.rows == (
        ("node1", "and 1 more", "unknown operator: no rule describes ai.onnx.Slice (opset 17)"),
        ("node3", "", "rule failed: the rule for ai.onnx.Conv (opset 17) failed"),
    )


LEARNED = "Tuning, judged on 32 samples held out"


def test_what_was_learned_is_judged_on_what_was_held_out() -> None:
    looks, learned = tables(tuning())
    assert looks.title == "Looks at the held-out samples"
    assert looks.head == ("step", "loss")
    assert looks.rows == (("0", "1.25"), ("12", "0.5"), ("24", "0.125"))
    assert learned.title == LEARNED
    assert learned.rows == (
        ("accuracy", "50.00%", "96.88%", "+46.88 points"),
        ("loss (ce)", "1.25", "0.125", ""),
    )


def test_without_a_metric_there_is_the_loss_alone() -> None:
    assert named(tuning(metric=None), LEARNED).rows == (("loss (ce)", "1.25", "0.125", ""),)


def test_one_step_is_no_steps() -> None:
    assert pace(tuning(steps=1, epochs=1)).startswith("1 step in 1 epoch, ")


def test_the_error_of_outputs_is_no_percentage_before_and_after_tuning() -> None:
    table = named(tuning(metric=Change("relative_error", 0.5, 0.125)), LEARNED)
    assert table.rows[0] == ("relative_error", "0.5", "0.125", "-0.375")


def test_a_report_says_how_good_the_model_was_once_cut_and_once_tuned() -> None:
    document = tuned_report()
    assert named(document, LEARNED) == named(tuning(), LEARNED)
    rows = [row for row in named(document, "Result").rows if row[0].startswith("accuracy")]
    assert rows == [
        ("accuracy", "99.00%", "96.50%", "-2.50 points"),
        ("accuracy, before tuning", "", "81.25%", ""),
    ]
    assert not [row for row in named(report(), "Result").rows if "tuning" in row[0]]


def test_zeros_in_place() -> None:
    table = named(sparse_report(), "Zeros in place")
    assert table.rows == (
        ("w[1]|a", "400 k", "300 k", "75.00%", ""),
        ("w2", "500", "0", "0.00%", "it reads 1 in a row, which is no [multiple] of 4"),
    )
    rows = {row[0]: row[1:] for row in named(sparse_report(), "Result").rows}
    assert rows["gzip bytes"] == ("1.59 M", "477 k", "0.300")
    assert rows["sparsity"] == ("", "74.91%", "")
    assert "gzip bytes" not in {row[0] for row in named(report(), "Result").rows}


def test_scales_that_were_slimmed() -> None:
    table = named(tuning(scales=Change("scales", 6.0, 2.5)), named_tuning())
    assert table.rows[-1] == ("scales, summed up", "6", "2.5", "")


def named_tuning() -> str:
    """Returns the title of the table of what was learned."""
    return "Tuning, judged on 32 samples held out"
