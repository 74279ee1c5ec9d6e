"""The loop on the LeNet of the digits, without tuning; `tests/finetune/test_recipes.py` tunes.

Steps must meet what the run asks of the original, and a run that is stopped anywhere and gone on
with must come to what an undisturbed one does, to the bit.
"""

import dataclasses
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

import onnxtrim
from onnxtrim.errors import BudgetError, UsageError
from onnxtrim.execute import PruneResult
from onnxtrim.graph.save import atomic_write
from onnxtrim.schedule.recipe import recipes

MODELS = Path(__file__).parents[2] / "models"
LENET, DIGITS = MODELS / "lenet-digits.onnx", MODELS / "digits"
WIDTHS = {"conv1": 20, "conv2": 50, "fc1": 500}
PLAIN = {"finetune": False, "threads": 1, "samples": 100, "compensate": "none"}
UNTUNED = [recipe.name for recipe in recipes() if recipe.name != "slimming"]


RUN = {"recipe": "gradual-global", "per_step": 0.2, "align": "none", "max_drop": 0.5}


class Stopped(BaseException):
    """A run that is killed."""


def pruned(**options: Any) -> PruneResult:  # noqa: ANN401
    return onnxtrim.prune(LENET, DIGITS, **{**PLAIN, **options})


def widths(result: PruneResult) -> list[dict[str, int]]:
    return [step.widths for step in result.report.steps]


def weights(model: ir.Model) -> dict[str, npt.NDArray[Any]]:
    found = model.graph.initializers.items()
    return {n: v.const_value.numpy() for n, v in found if v.const_value is not None}


def same(one: PruneResult, other: PruneResult) -> bool:
    """Returns whether two results have the same plan, trajectory and weights."""
    mine, its = weights(one.model), weights(other.model)
    return (
        one.plan == other.plan
        and widths(one) == widths(other)
        and mine.keys() == its.keys()
        and all(np.array_equal(mine[name], its[name]) for name in mine)
    )


@pytest.fixture(scope="module")
def undisturbed() -> PruneResult:
    return pruned(**RUN)


class TestSteps:
    """What steps come to."""

    def test_even_steps_end_at_the_budget(self) -> None:
        found = pruned(macs=0.5, steps=3, criterion="l1", align="none")
        whole = found.report.before.macs
        left = [step.macs / whole for step in found.report.steps]
        assert len(left) == 3
        for share, asked in zip(left, (5 / 6, 4 / 6, 3 / 6), strict=True):
            assert asked - 0.03 < share <= asked
        assert found.unmet is None

    def test_what_is_reported_is_relative_to_the_original(self) -> None:
        found = pruned(params=0.3, steps=3, criterion="l2", align="none")
        report = found.report
        assert {row.name: row.before for row in report.groups} == WIDTHS
        assert {row.name: row.after for row in report.groups} == widths(found)[-1]
        assert report.after.params == report.steps[-1].params
        replayed = onnxtrim.apply(LENET, found.plan, compensate="none", threads=1)
        assert replayed.report.after.params == report.after.params
        mine, its = weights(found.model), weights(replayed.model)
        assert {n: a.shape for n, a in its.items()}.items() <= {
            n: a.shape for n, a in mine.items()
        }.items()

    def test_two_steps_of_l1_keep_what_one_does(self) -> None:
        """What is kept of a weight is the original's, in the original's places."""
        found = pruned(ratio=0.4, steps=4, criterion="fpgm", align="none")
        again = onnxtrim.apply(LENET, found.plan, compensate="none", threads=1)
        mine, its = weights(found.model), weights(again.model)
        assert all(np.array_equal(mine[name], its[name]) for name in its)
        assert sum(WIDTHS.values()) - sum(widths(found)[-1].values()) == 228

    def test_a_share_of_what_is_left(self) -> None:
        found = pruned(steps=3, per_step=0.2, ratio=0.8, criterion="l1", align="none")
        left = [sum(step.values()) for step in widths(found)]
        assert left == [456, 365, 292]  # 570 less a fifth, rounded down, each time
        assert isinstance(found.unmet, BudgetError)
        assert "all 3 steps were taken" in str(found.unmet)

    def test_the_last_share_is_cut_to_the_budget(self) -> None:
        found = pruned(steps=9, per_step=0.2, ratio=0.3, criterion="l1", align="none")
        assert [sum(step.values()) for step in widths(found)] == [456, 399]

    def test_in_turn_each_group_goes_to_its_ratio(self) -> None:
        found = pruned(
            steps=99, per_step=0.2, ratio=0.4, order="in-turn", criterion="l2", align="none"
        )
        assert widths(found) == [
            {"conv1": 16, "conv2": 50, "fc1": 500},
            {"conv1": 12, "conv2": 50, "fc1": 500},
            {"conv1": 12, "conv2": 40, "fc1": 500},
            {"conv1": 12, "conv2": 30, "fc1": 500},
            {"conv1": 12, "conv2": 30, "fc1": 400},
            {"conv1": 12, "conv2": 30, "fc1": 300},
        ]

    def test_floors_are_shares_of_the_original(self) -> None:
        found = pruned(
            steps=40,
            per_step=0.1,
            max_drop=1.0,
            criterion="l1",
            align="none",
            max_layer_ratio=0.5,
        )
        last = widths(found)[-1]
        assert all(width >= WIDTHS[name] // 2 for name, width in last.items())
        assert sum(last.values()) < 285 / 0.9  # of 285 that must stay, a tenth more could not go

    def test_spreading_begins_with_the_layers_of_most_zeros(self) -> None:
        found = pruned(
            steps=3,
            order="spreading",
            start=1,
            below_std=0.5,
            criterion="apoz",
            align="none",
        )
        first, second, _ = widths(found)
        cut = [name for name, width in first.items() if width < WIDTHS[name]]
        assert len(cut) == 1
        assert sum(second[name] < WIDTHS[name] for name in WIDTHS) >= 2

    def test_a_step_that_loses_too_much_is_not_taken(self) -> None:
        found = pruned(
            steps=9,
            per_step=0.25,
            max_drop=0.02,
            criterion="l1",
            align="none",
            samples=300,
        )
        *taken, refused = found.report.steps
        assert all(step.accepted for step in taken)
        assert not refused.accepted
        assert {row.name: row.after for row in found.report.groups} == taken[-1].widths
        before, after = found.report.before.metric, found.report.after.metric
        assert before is not None
        assert after is not None
        assert refused.metric is not None
        assert before.value - after.value <= 0.02 < before.value - refused.metric.value

    def test_where_not_even_the_first_can_be_taken(self) -> None:
        with pytest.raises(BudgetError, match=r"no step was taken: step 1 loses 0\.\d+ of"):
            pruned(steps=3, per_step=0.85, max_drop=0.0, criterion="random")


class TestRecipes:
    """Every recipe by its name."""

    @pytest.mark.parametrize("name", UNTUNED)
    def test_it_runs(self, name: str) -> None:
        found = pruned(recipe=name, samples=300)
        assert found.report.settings["recipe"] == name
        if name == "iterative-weights":
            assert found.report.sparsity is not None
            assert found.report.sparsity.sparsity == pytest.approx(0.8, abs=1e-3)
            assert len(found.report.steps) == 4
            return
        assert found.report.after.params < found.report.before.params
        assert found.report.verification.max_rel_error < 1e-4
        final = {row.name: row.after for row in found.report.groups}
        assert final == [s for s in found.report.steps if s.accepted][-1].widths


class TestStops:
    """A run that is killed, or ended, and gone on with."""

    @pytest.mark.parametrize("seed", range(2))
    def test_killed_anywhere_it_comes_to_the_same(
        self, tmp_path: Path, undisturbed: PruneResult, seed: int
    ) -> None:
        rng, stops = np.random.default_rng(seed), 0
        for _ in range(40):
            at = int(rng.integers(1, 12))  # of some 30 calls
            calls = iter(range(1, 10**9))

            def progress(*_: object, calls: Iterator[int] = calls, at: int = at) -> None:
                if next(calls) == at:
                    raise Stopped

            try:
                found = pruned(**RUN, workdir=tmp_path, resume=True, progress=progress)
                break
            except Stopped:
                stops += 1
        assert stops
        assert same(found, undisturbed)
        assert same(pruned(**RUN, workdir=tmp_path, resume=True), undisturbed)

    def test_killed_while_it_writes(
        self, tmp_path: Path, undisturbed: PruneResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = iter(range(10**6))

        def write(path: Path, text: str) -> Path:
            if next(written) == 1:
                raise Stopped
            return atomic_write(path, text)

        monkeypatch.setattr("onnxtrim.schedule.state.atomic_write", write)
        with pytest.raises(Stopped):
            pruned(**RUN, workdir=tmp_path)
        assert json.loads((tmp_path / "state.json").read_text())["done"] == 1
        assert same(pruned(**RUN, workdir=tmp_path, resume=True), undisturbed)

    def test_ctrl_c_ends_it_after_the_step_with_the_best_so_far(
        self, tmp_path: Path, undisturbed: PruneResult
    ) -> None:
        def progress(what: str, done: int, total: int) -> None:
            if what == "steps" and done == 2:
                signal.raise_signal(signal.SIGINT)

        found = pruned(**RUN, workdir=tmp_path, progress=progress)
        assert found.interrupted
        assert widths(found) == widths(undisturbed)[:2]
        assert same(pruned(**RUN, workdir=tmp_path, resume=True), undisturbed)

    def test_another_run_is_not_gone_on_with(self, tmp_path: Path) -> None:
        options = {"macs": 0.6, "steps": 2, "criterion": "l1"}
        pruned(**options, workdir=tmp_path)
        with pytest.raises(UsageError, match=r"had --macs 0.6, and this one has 0.5"):
            pruned(**{**options, "macs": 0.5}, workdir=tmp_path, resume=True)
        with pytest.raises(UsageError, match="holds a run already"):
            pruned(**options, workdir=tmp_path)

    def test_one_step_is_kept_too(self, tmp_path: Path) -> None:
        options = {"macs": 0.6, "criterion": "l1", "workdir": tmp_path}
        found = pruned(**options)
        again = pruned(**options, resume=True)
        assert same(found, again)
        assert dataclasses.asdict(again.report)["timings_s"] == found.report.timings_s

    def test_resuming_takes_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--resume .*give --workdir"):
            pruned(macs=0.5, resume=True)
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is a file"):
            pruned(macs=0.5, workdir=tmp_path / "file")
