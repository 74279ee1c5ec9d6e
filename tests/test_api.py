"""The Python API end to end, on the LeNet of this repository and on small models by hand."""

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_close, assert_identical, masked_by_hand, proto_of, run
from PIL import Image

import onnxtrim
from onnxtrim.channels import analyze
from onnxtrim.config import DEFAULT_DROP, CriterionName
from onnxtrim.graph import ModelSource, load, normalize
from onnxtrim.report import MetricValue
from onnxtrim.selection import alignments_of, removed_units

ROOT = Path(__file__).parents[1]
LENET = ROOT / "models" / "lenet-digits.onnx"
DIGITS = ROOT / "models" / "digits"
ASSETS = Path(os.environ.get("ONNXTRIM_ASSETS", ROOT.parent / "shared" / "assets"))
MACS, PARAMS = 2_293_000, 431_080
SPATIAL = {"conv1.weight": 24 * 24, "conv2.weight": 8 * 8, "fc1.weight": 1, "fc2.weight": 1}


def counted(model: onnx.ModelProto | ir.Model) -> tuple[int, int]:
    """Returns MACs and parameters of a LeNet, from the sizes of its weights."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    sizes = {t.name: math.prod(t.dims) for t in proto.graph.initializer if t.data_type == 1}
    return sum(sizes[name] * n for name, n in SPATIAL.items()), sum(sizes.values())


def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns the images of this repository with their labels, read by Pillow alone."""
    paths = sorted(DIGITS.glob("*/*.png"))
    assert len(paths) == 300
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    images = pixels[:, None].astype(np.float32) / np.float32(255)
    return images, np.array([int(path.parent.name) for path in paths])


def activations() -> dict[str, npt.NDArray[np.float64]]:
    """Returns what comes out of the Relu behind each layer of the original, by layer."""
    whole = onnx.load(LENET)
    taps = {"conv1": "relu1.out", "conv2": "relu2.out", "fc1": "relu3.out"}
    for tensor in taps.values():
        whole.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))
    outputs = run(whole, {"image": digits()[0]})
    return {layer: outputs[tensor].astype(np.float64) for layer, tensor in taps.items()}


def accuracy(model: onnx.ModelProto | ir.Model) -> float:
    images, labels = digits()
    logits = run(model, {"image": images}, optimize=True)["logits"]
    return float((logits.argmax(axis=1) == labels).mean())


def prune(model: ModelSource, data: Any = None, **options: Any) -> onnxtrim.PruneResult:  # noqa: ANN401
    """Returns the result of a run on one thread: several would wait for each other, spinning."""
    return onnxtrim.prune(model, data, **{"threads": 1, **options})


def apply(model: ModelSource, plan: Any, *data: Any, **options: Any) -> onnxtrim.PruneResult:  # noqa: ANN401
    """Returns a plan replayed on one thread."""
    return onnxtrim.apply(model, plan, *data, **{"threads": 1, **options})


def compare(*what: Any, **options: Any) -> onnxtrim.Comparison:  # noqa: ANN401
    """Returns two models compared on one thread."""
    return onnxtrim.compare(*what, **{"threads": 1, **options})


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing in the public API prints."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def half() -> onnxtrim.PruneResult:
    """Returns a cut in steps that do not depend on the machine."""
    return onnxtrim.prune(LENET, DIGITS, macs=0.5, criterion="mean", compensate="none", align=16)


class TestPrune:
    """`prune` on the LeNet."""

    def test_the_budget_is_met_by_the_model_itself(self, half: onnxtrim.PruneResult) -> None:
        macs, params = counted(half.model)
        assert macs <= MACS / 2
        report = half.report
        assert (report.before.macs, report.before.params) == (MACS, PARAMS)
        assert (report.after.macs, report.after.params) == (macs, params)
        assert counted(onnx.load(LENET)) == (MACS, PARAMS)

    def test_the_accuracy_is_that_of_the_runtime(self, half: onnxtrim.PruneResult) -> None:
        before, after = half.report.before.metric, half.report.after.metric
        assert before is not None
        assert after is not None
        assert before.name == after.name == "accuracy"
        assert before.value == pytest.approx(accuracy(onnx.load(LENET)), abs=1e-12)
        assert after.value == pytest.approx(accuracy(half.model), abs=1e-12)
        assert half.report.steps[-1].metric == after

    def test_the_distance_from_the_original_is_that_of_the_runtime(
        self, half: onnxtrim.PruneResult
    ) -> None:
        images = {"image": digits()[0]}
        old = run(onnx.load(LENET), images, optimize=True)["logits"].astype(np.float64)
        new = run(half.model, images, optimize=True)["logits"].astype(np.float64)
        agreed = (old.argmax(axis=1) == new.argmax(axis=1)).mean()
        assert 0 < agreed < 1
        assert half.report.agreement == pytest.approx(agreed, abs=1e-12)
        error = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert half.report.relative_error == pytest.approx(error, rel=1e-5)

    def test_the_result_computes_what_the_masked_original_does(
        self, half: onnxtrim.PruneResult
    ) -> None:
        model = normalize(load(LENET))
        channel_map = analyze(model)
        removed = removed_units(channel_map, half.plan)
        assert len(removed) > 0
        images = {"image": digits()[0][::7]}
        expected = run(masked_by_hand(model, channel_map, removed), images)
        assert_close(run(half.model, images), expected)
        assert half.report.verification.samples == 8
        assert half.report.verification.max_rel_error <= 1e-4

    @pytest.mark.parametrize("criterion", ["apoz", "mean"])
    def test_the_scores_are_those_of_the_whole_activation(self, criterion: CriterionName) -> None:
        """Worked out from the original in numpy, channel by channel."""
        result = prune(LENET, DIGITS, macs=0.5, criterion=criterion)
        assert len(result.report.groups) == 3
        assert result.plan.groups
        for row in result.report.groups:
            values = activations()[row.name]
            others = tuple(i for i in range(values.ndim) if i != 1)
            scores = (values != 0 if criterion == "apoz" else values).mean(axis=others)
            assert row.score is not None
            found = [row.score.min, row.score.median, row.score.max]
            assert found == pytest.approx([scores.min(), np.median(scores), scores.max()], rel=1e-5)
            kept = next((g.kept for g in result.plan.groups if g.name == row.name), None)
            if kept is not None:
                gone = np.delete(scores, kept)
                assert gone.max() <= scores[list(kept)].min() + 1e-6

    def test_the_interface_stays(self, half: onnxtrim.PruneResult) -> None:
        proto, original = ir.to_proto(half.model), onnx.load(LENET)
        onnx.checker.check_model(proto, full_check=True)
        assert list(proto.graph.input) == list(original.graph.input)
        assert list(proto.graph.output) == list(original.graph.output)

    def test_what_is_saved_is_what_was_measured(
        self, half: onnxtrim.PruneResult, tmp_path: Path
    ) -> None:
        path = half.save(tmp_path / "thin.onnx")
        assert path == tmp_path / "thin.onnx"
        assert list(tmp_path.iterdir()) == [path]
        assert path.stat().st_size == half.report.after.bytes
        assert half.report.before.bytes == LENET.stat().st_size
        images = {"image": digits()[0][:5]}
        assert_identical(run(onnx.load(path), images), run(half.model, images))

    def test_the_size_is_that_of_the_file_where_weights_lie_beside_the_original(
        self, tmp_path: Path
    ) -> None:
        """What is cut is counted as it is written, whether it was read or not, and so is the rest.

        conv1 stays whole, so that its weight is still on disk when the size is counted.
        """
        big, data = tmp_path / "big.onnx", tmp_path / "big.data"
        proto = onnx.load(LENET)
        onnx.save(proto, big, save_as_external_data=True, location=data.name, size_threshold=0)
        assert data.stat().st_size >= 4 * PARAMS
        options: dict[str, Any] = {"macs": 0.5, "criterion": "l1", "align": "none"}
        options["exclude"] = ("conv1",)
        result, plain = prune(big, **options), prune(LENET, **options)
        kept = result.model.graph.initializers["conv1.bias"].const_value
        assert isinstance(kept, ir.ExternalTensor)
        assert result.report.before.bytes == big.stat().st_size + data.stat().st_size
        (tmp_path / "out").mkdir()
        path = result.save(tmp_path / "out" / "thin.onnx")
        assert list((tmp_path / "out").iterdir()) == [path]
        assert result.report.after.bytes == path.stat().st_size
        assert path.stat().st_size < 0.9 * LENET.stat().st_size
        again = plain.save(tmp_path / "again.onnx")
        assert plain.report.after.bytes == again.stat().st_size
        images = {"image": digits()[0][:5]}
        assert_identical(run(onnx.load(path), images), run(onnx.load(again), images))

    def test_the_original_is_never_saved_over(self, tmp_path: Path) -> None:
        plain, big = tmp_path / "net.onnx", tmp_path / "big.onnx"
        plain.write_bytes(LENET.read_bytes())
        proto = onnx.load(LENET)
        onnx.save(proto, big, save_as_external_data=True, location="big.data", size_threshold=0)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        for source, targets in ((plain, [plain]), (big, [big, tmp_path / "big.data"])):
            result = prune(source, macs=0.5, criterion="l1")
            for target in targets:
                with pytest.raises(onnxtrim.OutputError, match="is an input of this run"):
                    result.save(target)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_the_report_says_how_it_was_run(self, half: onnxtrim.PruneResult) -> None:
        report = half.report
        assert report.settings["macs"] == 0.5
        assert report.settings["criterion"] == "mean"
        assert report.settings["batch_size"] == 64
        assert report.data["samples"] == 300
        assert report.model.name == "lenet-digits.onnx"
        assert report.model.inputs == {"image": (1, 1, 28, 28)}
        assert report.timings_s.keys() >= {"prepare", "measure", "choose", "cut and verify"}
        assert [(row.name, row.code) for row in report.frozen] == [("fc2", "graph output")]

    def test_the_digest_is_that_of_the_file(self, half: onnxtrim.PruneResult) -> None:
        digest = hashlib.sha256(LENET.read_bytes()).hexdigest()
        assert half.plan.model_sha256 == half.report.model.sha256 == digest

    @pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
    def test_no_data_is_needed_by_weights(self, criterion: CriterionName) -> None:
        result = prune(LENET, params=0.5, criterion=criterion)
        assert counted(result.model)[1] <= PARAMS / 2
        assert result.report.before.metric is None
        assert (result.report.agreement, result.report.relative_error) == (None, None)
        assert result.report.data == {}

    def test_data_is_needed_by_activations(self) -> None:
        for name in ("mean", "apoz", "reconstruction"):
            with pytest.raises(onnxtrim.UsageError, match=f"--criterion {name} measures activ"):
                prune(LENET, macs=0.5, criterion=name)
        with pytest.raises(onnxtrim.UsageError, match="--criterion reconstruction measures"):
            prune(LENET, macs=0.5)

    def test_without_a_budget_it_is_as_thin_as_one_point_allows(self) -> None:
        result = prune(LENET, DIGITS, align="none")
        report = result.report
        assert report.settings["max_drop"] == DEFAULT_DROP == 0.01
        assert (report.data["samples"], report.data["held_out"]) == (300, 60)
        before, after = report.before.metric, report.after.metric
        assert before is not None
        assert after is not None
        assert after.value >= before.value - 0.01
        assert report.after.macs < MACS
        thinner = prune(LENET, DIGITS, align="none", max_drop=0.1).report
        assert thinner.after.macs < report.after.macs

    def test_without_a_budget_and_data_it_says_what_to_give(self) -> None:
        with pytest.raises(onnxtrim.UsageError, match=r"^no budget: give --macs, .* or --data, "):
            prune(LENET, criterion="l1")

    def test_the_accuracy_is_that_of_the_samples_held_out(self) -> None:
        """Of thirty digits of each class, six are held out."""
        images, labels = digits()
        result = prune(LENET, (images, labels), max_drop=0.2, align="none")
        classes = [np.flatnonzero(labels == digit) for digit in range(10)]
        assert {len(places) for places in classes} == {30}
        # a stretch of five, the middle one: 2, 7, 12, ... of each class
        places = np.concatenate([own[2::5] for own in classes])
        logits = run(result.model, {"image": images[places]}, optimize=True)["logits"]
        metric = result.report.after.metric
        assert metric is not None
        assert metric.value == pytest.approx((logits.argmax(axis=1) == labels[places]).mean())

    def test_the_size_is_that_of_the_file_to_the_byte(self, tmp_path: Path) -> None:
        result = prune(LENET, size="1MB", criterion="l1", align="none")
        path = result.save(tmp_path / "thin.onnx")
        assert path.stat().st_size == result.report.after.bytes
        assert 990_000 < path.stat().st_size <= 1_000_000
        again = prune(LENET, size=path.stat().st_size, criterion="l1", align="none")
        assert again.report.after.bytes <= path.stat().st_size

    def test_the_time_is_the_one_that_the_report_shows(self) -> None:
        report = prune(LENET, latency=0.95, criterion="l1").report
        assert report.latency_ratio is not None
        assert report.latency_ratio.median <= 0.95

    def test_auto_shows_what_it_compared(self) -> None:
        report = prune(
            LENET, DIGITS, macs=0.5, criterion="auto", samples=100, compensate="none"
        ).report
        rows = {row.criterion: row for row in report.candidates}
        (chosen,) = [row for row in report.candidates if row.chosen]
        assert report.settings["criterion"] == "auto"
        assert chosen == report.candidates[0]
        assert chosen.relative_error == report.relative_error
        assert chosen.metric == report.after.metric
        assert chosen.macs == report.after.macs / MACS
        assert rows["random"].relative_error > chosen.relative_error
        plain: dict[str, Any] = {"macs": 0.5, "samples": 100, "compensate": "none"}
        alone = prune(LENET, DIGITS, criterion=chosen.criterion, **plain)
        assert alone.report.relative_error == chosen.relative_error
        assert alone.report.candidates == ()

    def test_a_metric_of_ones_own_is_what_a_drop_is_of(self) -> None:
        """It counts channels of conv1: four of them may go."""

        def filters(proto: onnx.ModelProto) -> float:
            (bias,) = [t for t in proto.graph.initializer if t.name == "conv1.bias"]
            return float(bias.dims[0])

        options: dict[str, Any] = {"align": "none", "include": ("conv1",), "samples": 50}
        result = prune(LENET, DIGITS, metric=filters, max_drop=4, **options)
        assert [(row.before, row.after) for row in result.report.groups] == [(20, 16)]
        metric = MetricValue("filters", 16.0)
        assert result.report.after.metric == metric
        replayed = apply(LENET, result.plan, DIGITS, metric=filters, samples=50)
        assert replayed.report.after.metric == metric
        assert compare(LENET, result.model, DIGITS, metric=filters).after.metric == metric

    def test_ratio_by_layer(self) -> None:
        result = prune(LENET, ratio=0.5, scope="layer", criterion="l1", align="none")
        rows = [(r.name, r.before, r.after) for r in result.report.groups]
        assert rows == [("conv1", 20, 10), ("conv2", 50, 25), ("fc1", 500, 250)]

    def test_global_ratio(self) -> None:
        result = prune(LENET, ratio=0.3, criterion="l2", align="none")
        assert sum(r.before - r.after for r in result.report.groups) == math.floor(0.3 * 570)

    def test_absolute_budgets(self) -> None:
        result = prune(LENET, macs="1.5M", params="200k", criterion="l1")
        macs, params = counted(result.model)
        assert macs <= 1_500_000
        assert params <= 200_000

    def test_an_excluded_group_stays_whole(self) -> None:
        result = prune(LENET, ratio=0.5, criterion="l1", exclude=("conv1",))
        assert [r.name for r in result.report.groups] == ["conv2", "fc1"]
        (row,) = [r for r in result.report.frozen if r.name == "conv1"]
        assert row.code == "excluded"
        sizes = {t.name: list(t.dims) for t in ir.to_proto(result.model).graph.initializer}
        assert sizes["conv1.weight"] == [20, 1, 5, 5]
        assert sizes["conv2.weight"][0] < 50

    def test_only_an_included_group_is_cut(self) -> None:
        """`fc2*` is a frozen group: it matches, and changes nothing."""
        result = prune(LENET, ratio=0.5, criterion="l1", include=("fc1", "fc2*"))
        assert [r.name for r in result.report.groups] == ["fc1"]
        codes = {row.name: row.code for row in result.report.frozen}
        assert codes == {"conv1": "excluded", "conv2": "excluded", "fc2": "graph output"}
        sizes = {t.name: list(t.dims) for t in ir.to_proto(result.model).graph.initializer}
        assert sizes["conv2.weight"] == [50, 20, 5, 5]
        assert sizes["fc1.weight"][0] < 500

    @pytest.mark.parametrize("option", ["include", "exclude"])
    def test_a_glob_that_matches_nothing_is_refused(self, option: str) -> None:
        with pytest.raises(onnxtrim.UsageError) as caught:
            prune(LENET, ratio=0.5, criterion="l1", **{option: ("fc1", "nothing*")})
        assert str(caught.value) == (
            f"--{option} nothing*: matches no group; inspect lists their names and tensors"
        )

    def test_excluding_what_is_frozen_already_changes_nothing(self) -> None:
        result = prune(LENET, ratio=0.5, criterion="l1", exclude=("fc2",))
        assert [r.name for r in result.report.groups] == ["conv1", "conv2", "fc1"]
        assert [(r.name, r.code) for r in result.report.frozen] == [("fc2", "graph output")]

    def test_excluding_a_layer_leaves_its_neighbours(self) -> None:
        """`conv2*` is the node conv2 and its weight, which conv1's channels are read by."""
        result = prune(LENET, ratio=0.5, criterion="l1", exclude=("conv2*",))
        assert [r.name for r in result.report.groups] == ["conv1", "fc1"]

    def test_a_budget_below_whole_blocks_is_met_with_a_warning(self) -> None:
        block = alignments_of("auto")[0].step
        if block == 4:
            pytest.skip("this runtime computes four channels at a time: there is nothing smaller")
        result = prune(LENET, macs=0.06, criterion="l1")
        assert result.report.after.macs <= 0.06 * MACS
        (warning,) = result.report.warnings
        assert f"steps of {block} channels" in warning
        assert "steps of 4" in warning
        convolutions, dense = result.report.groups[:2], result.report.groups[2]
        assert any(row.after < block for row in convolutions)
        for row in convolutions:
            step = 4 if row.after < block else block
            assert (row.step, row.after % step) == (step, 0)
        assert dense.step == 1  # matrix products are free

    def test_the_step_of_each_row_is_the_one_it_was_cut_in(self) -> None:
        """That of this machine, where none is asked for."""
        found = prune(LENET, DIGITS, macs=0.5, criterion="mean", compensate="none")
        block = alignments_of("auto")[0].step
        assert found.report.warnings == ()
        steps = [block if row.before >= block else 4 for row in found.report.groups[:2]]
        assert [row.step for row in found.report.groups] == [*steps, 1]
        for row in found.report.groups:
            assert row.step is not None
            assert row.after % row.step == 0 or row.after == row.before

    def test_progress_is_told(self) -> None:
        heard: list[tuple[str, int, int]] = []

        def listen(what: str, done: int, total: int) -> None:
            heard.append((what, done, total))

        prune(LENET, DIGITS, progress=listen, macs=0.5, samples=100)
        assert {what for what, _, _ in heard} == {
            "measuring", "measuring moments", "trying groups", "compensating", "evaluating",
        }  # fmt: skip
        assert [(d, t) for w, d, t in heard if w == "compensating"] == [(1, 3), (2, 3), (3, 3)]
        for what in ("measuring", "evaluating"):
            assert [(d, t) for w, d, t in heard if w == what] == [(64, 100), (100, 100)]


class TestSources:
    """Models and data as people hold them."""

    def test_every_kind_of_model_gives_the_same_plan(self) -> None:
        proto = onnx.load(LENET)
        before = proto.SerializeToString(deterministic=True)
        model = load(LENET)
        kinds: list[ModelSource] = [LENET, str(LENET), LENET.read_bytes(), proto, model]
        plans = [prune(kind, macs=0.5, criterion="l1").plan for kind in kinds]
        assert all(plan.initializers == plans[0].initializers for plan in plans)
        assert proto.SerializeToString(deterministic=True) == before
        assert ir.to_proto(model) == ir.to_proto(load(LENET))

    def test_every_kind_of_data_gives_the_same_plan(self) -> None:
        images, labels = digits()
        kinds: list[Any] = [
            images,
            {"image": images},
            (images, labels),
            ({"image": images}, labels),
        ]
        options: dict[str, Any] = {"macs": 0.5, "samples": 40, "compensate": "none"}
        expected = prune(LENET, DIGITS, **options)
        for kind in kinds:
            result = prune(LENET, kind, **options)
            assert result.plan == expected.plan
            metric = result.report.after.metric
            assert metric is not None
            assert metric.name == ("accuracy" if isinstance(kind, tuple) else "agreement")
            if isinstance(kind, tuple):
                assert metric == expected.report.after.metric

    def test_the_arrays_stay_as_they_are(self) -> None:
        images, labels = digits()
        before = images.tobytes(), labels.tobytes()
        prune(LENET, (images, labels), macs=0.5, samples=40)
        assert (images.tobytes(), labels.tobytes()) == before

    def test_a_model_of_several_inputs(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3] left, float[N, 4] right) => (float[N, 2] y) {
          [one] a = Gemm(left, w1)
          [two] b = Gemm(right, w2)
          [sum] s = Add(a, b)
          [act] r = Relu(s)
          [last] y = Gemm(r, w3)
        }"""
        rng = np.random.default_rng(0)
        weights: Arrays = {
            "w1": rng.standard_normal((3, 8)).astype(np.float32),
            "w2": rng.standard_normal((4, 8)).astype(np.float32),
            "w3": rng.standard_normal((8, 2)).astype(np.float32),
        }
        x = {
            "left": rng.standard_normal((20, 3)).astype(np.float32),
            "right": rng.standard_normal((20, 4)).astype(np.float32),
        }
        result = prune(proto_of(text, weights), x, params=0.5)
        (row,) = result.report.groups
        assert (row.before, row.after) == (8, 4)  # 9 parameters a unit, of 72
        assert run(result.model, x)["y"].shape == (20, 2)

    def test_float64_and_apoz(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (double[N, 3] x) => (double[N, 2] y) {
          [one] a = Gemm(x, w1)
          [act] r = Relu(a)
          [last] y = Gemm(r, w2)
        }"""
        rng = np.random.default_rng(0)
        weights: Arrays = {"w1": rng.standard_normal((3, 8)), "w2": rng.standard_normal((8, 2))}
        result = prune(
            proto_of(text, weights), rng.standard_normal((9, 3)), params=0.5, criterion="apoz"
        )
        assert result.report.groups[0].after == 4

    def test_labels_of_outputs_that_are_not_one_a_sample(self) -> None:
        """Four rows of scores a sample: nothing to hold the labels against."""
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 3] x) => (float[M, 2] y) {
          f = Reshape(x, target)
          [one] a = MatMul(f, w1)
          [act] r = Relu(a)
          [last] y = MatMul(r, w2)
        }"""
        rng = np.random.default_rng(0)
        weights: Arrays = {
            "target": np.array([-1, 3]),
            "w1": rng.standard_normal((3, 8)).astype(np.float32),
            "w2": rng.standard_normal((8, 2)).astype(np.float32),
        }
        x, labels = rng.standard_normal((6, 4, 3)).astype(np.float32), np.arange(6) % 2
        result = prune(proto_of(text, weights), (x, labels), params=0.5)
        metric = result.report.after.metric
        assert metric is not None
        assert metric.name == "relative_error"
        old, new = run(proto_of(text, weights), {"x": x})["y"], run(result.model, {"x": x})["y"]
        assert old.shape == new.shape == (24, 2)
        error = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert metric.value == pytest.approx(error, rel=1e-5)
        assert result.report.relative_error == metric.value
        assert result.report.agreement is None


class TestUncounted:
    """Nodes whose MACs nobody can tell are named."""

    TEXT = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
      [one] a = Conv(x, w1)
      [act] r = Relu(a)
      [two] b = Conv(r, w2)
      [fused] y = com.microsoft.FusedConv <activation = "Relu"> (b, w3)
    }"""

    def model(self) -> onnx.ModelProto:
        rng = np.random.default_rng(0)
        sizes = {"w1": (8, 3, 1, 1), "w2": (4, 8, 1, 1), "w3": (2, 4, 1, 1)}
        return proto_of(
            self.TEXT, {k: rng.standard_normal(s).astype(np.float32) for k, s in sizes.items()}
        )

    def test_an_inspection_warns(self) -> None:
        found = onnxtrim.inspect(self.model())
        assert found.cost.macs == 36 * 8 * 3 + 36 * 4 * 8
        (warning,) = found.warnings
        assert warning.startswith(
            "the MACs of fused are not counted: no rule describes the operator"
        )

    def test_a_report_warns(self) -> None:
        result = prune(self.model(), params=0.7, criterion="l1", align="none")
        assert [row.name for row in result.report.groups] == ["one"]
        (warning,) = result.report.warnings
        assert warning.startswith(
            "the MACs of fused are not counted: no rule describes the operator"
        )

    def test_where_all_is_counted_nothing_is_said(self) -> None:
        assert onnxtrim.inspect(LENET).warnings == ()
        assert prune(LENET, macs=0.5, criterion="l1").report.warnings == ()


class TestOptions:
    """Options as people write them in Python."""

    def test_lists_will_do(self) -> None:
        options: dict[str, Any] = {"samples": 40, "macs": 0.5}
        lists: dict[str, Any] = {
            "mean": [0.5], "std": [0.25], "image_size": [28, 28], "include": ["conv*", "fc*"],
            "exclude": ["fc1"],
        }  # fmt: skip
        tuples: dict[str, Any] = {name: tuple(value) for name, value in lists.items()}
        found = prune(LENET, DIGITS, **options, **lists)
        assert {name: found.report.settings[name] for name in lists} == tuples
        assert found.plan == prune(LENET, DIGITS, **options, **tuples).plan
        assert [row.name for row in found.report.groups] == ["conv1", "conv2"]

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"mean": 0.5}, "--mean 0.5: give a list of numbers"),
            ({"seed": "a"}, "--seed a: give a whole number"),
            ({"min_channels": 2.5}, "--min-channels 2.5: give a whole number"),
            ({"samples": 2.5}, "--samples 2.5: give a whole number"),
            ({"ratio": "0.5"}, "--ratio 0.5: give a number"),
        ],
    )
    def test_a_wrong_type_is_refused(self, option: dict[str, Any], message: str) -> None:
        with pytest.raises(onnxtrim.UsageError) as caught:
            prune(LENET, criterion="l1", **{"macs": 0.5, **option})
        assert str(caught.value) == message

    @pytest.mark.parametrize("amount", [1.5, "1.5", "1e400", float("inf")])
    @pytest.mark.parametrize("option", ["macs", "params"])
    def test_an_amount_that_makes_no_sense_is_refused(
        self, option: str, amount: float | str
    ) -> None:
        with pytest.raises(onnxtrim.UsageError, match=rf"^--{option} {amount}: "):
            prune(LENET, criterion="l1", **{option: amount})


class TestSensitivity:
    """`sensitivity` takes from each group alone."""

    def test_each_point_is_a_model_that_can_be_had(self) -> None:
        """Of conv1 alone, by the same scores, the first five and ten channels."""
        options: dict[str, Any] = {"criterion": "mean", "threads": 1}
        found = onnxtrim.sensitivity(LENET, DIGITS, points=2, max_layer_ratio=0.5, **options)
        assert found.whole.name == "accuracy"
        assert found.whole.value == pytest.approx(accuracy(onnx.load(LENET)), abs=1e-12)
        assert [(curve.group, curve.width) for curve in found.curves] == [
            ("conv1", 20),
            ("conv2", 50),
            ("fc1", 500),
        ]
        for point, ratio in zip(found.curves[0].points, (0.25, 0.5), strict=True):
            plain = {"align": "none", "compensate": "none", **options}
            alone = prune(LENET, DIGITS, ratio=ratio, include=("conv1",), **plain)
            assert point.removed == 20 * ratio
            assert point.macs == pytest.approx(alone.report.after.macs / MACS, rel=1e-12)
            assert point.metric == pytest.approx(accuracy(alone.model), abs=1e-12)
            assert point.relative_error == pytest.approx(alone.report.relative_error, rel=1e-6)

    def test_more_points_and_fewer_groups(self) -> None:
        heard: list[str] = []
        found = onnxtrim.sensitivity(
            LENET,
            DIGITS,
            points=4,
            criterion="random",
            seed=3,
            include=("conv*",),
            exclude=("conv2",),
            samples=20,
            threads=1,
            progress=lambda what, *_: heard.append(what),
        )
        (curve,) = found.curves
        assert [point.removed for point in curve.points] == [4, 9, 14, 18]
        assert found.data["samples"] == 20
        assert heard == ["trying groups"]

    def test_options_of_budgets_are_none(self) -> None:
        with pytest.raises((TypeError, onnxtrim.UsageError)):
            onnxtrim.sensitivity(LENET, DIGITS, macs=0.5)  # type: ignore[call-arg]


class TestApply:
    """`apply` replays a plan."""

    def test_the_same_plan_gives_the_same_model(
        self, half: onnxtrim.PruneResult, tmp_path: Path
    ) -> None:
        (tmp_path / "plan.json").write_text(half.plan.to_json())
        plans: list[Any] = [half.plan, str(tmp_path / "plan.json")]
        expected = half.save(tmp_path / "once.onnx").read_bytes()
        for i, plan in enumerate(plans):
            result = apply(LENET, plan, DIGITS, samples=9, compensate="none")
            assert result.save(tmp_path / f"{i}.onnx").read_bytes() == expected
            assert result.plan == half.plan

    def test_one_axis_is_completed(self) -> None:
        plan = onnxtrim.PrunePlan("", {"conv1.bias": {0: tuple(range(0, 20, 2))}})
        result = apply(LENET, plan)
        assert [row.step for row in result.report.groups] == [None, None, None]
        assert result.plan.initializers == {
            "conv1.bias": {0: tuple(range(0, 20, 2))},
            "conv1.weight": {0: tuple(range(0, 20, 2))},
            "conv2.weight": {1: tuple(range(0, 20, 2))},
        }
        assert counted(result.model)[1] == PARAMS - 10 * 26 - 10 * 50 * 25
        assert result.report.verification.samples == 0

    def test_another_checkpoint(self, half: onnxtrim.PruneResult) -> None:
        other = onnx.load(LENET)
        rng = np.random.default_rng(0)
        for tensor in other.graph.initializer:
            array = rng.standard_normal(tuple(tensor.dims)).astype(np.float32) / 20
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        result = apply(other, half.plan)
        assert result.plan.initializers == half.plan.initializers
        assert result.plan.model_sha256 != half.plan.model_sha256
        weights = {t.name: onnx.numpy_helper.to_array(t) for t in other.graph.initializer}
        for tensor in ir.to_proto(result.model).graph.initializer:
            expected = weights[tensor.name]
            for axis, kept in half.plan.initializers.get(tensor.name, {}).items():
                expected = expected.take(kept, axis=axis)
            assert onnx.numpy_helper.to_array(tensor).tobytes() == expected.tobytes()

    def test_a_plan_of_another_graph(self) -> None:
        plan = onnxtrim.PrunePlan("", {"layer7.weight": {0: (0,)}})
        with pytest.raises(
            onnxtrim.PlanError, match=r"'layer7\.weight', which carries no channels"
        ):
            apply(LENET, plan)

    def test_an_empty_plan_changes_nothing(self) -> None:
        result = apply(LENET, onnxtrim.PrunePlan(""))
        images = {"image": digits()[0][:5]}
        assert_identical(run(result.model, images), run(onnx.load(LENET), images))


class TestInspect:
    """`inspect` shows what can be cut."""

    def test_groups_costs_and_reasons(self) -> None:
        found = onnxtrim.inspect(LENET)
        assert (found.cost.macs, found.cost.params) == (MACS, PARAMS)
        assert [(r.name, r.before, r.after) for r in found.groups] == [
            ("conv1", 20, 20),
            ("conv2", 50, 50),
            ("fc1", 500, 500),
        ]
        assert all(not r.statistics and r.score is None for r in found.groups)
        block = alignments_of("auto")[0].step
        steps = [block if r.before >= block else 4 for r in found.groups[:2]]
        assert [r.step for r in found.groups] == [*steps, 1]
        (row,) = found.frozen
        assert (row.name, row.width, row.code) == ("fc2", 10, "graph output")
        assert "logits" in row.reason

    def test_with_data_the_share_of_zeros(self) -> None:
        found = onnxtrim.inspect(LENET, DIGITS)
        for row in found.groups:
            zeros = (activations()[row.name] == 0).mean()
            assert row.statistics["zeros"] == pytest.approx(zeros, abs=1e-6)


class TestCompare:
    """`compare` sets two models side by side."""

    def test_costs_and_quality(self, half: onnxtrim.PruneResult) -> None:
        found = compare(LENET, half.model, DIGITS)
        assert (found.before.macs, found.after.macs) == (MACS, half.report.after.macs)
        images, _ = digits()
        old = run(onnx.load(LENET), {"image": images}, optimize=True)["logits"].astype(np.float64)
        new = run(half.model, {"image": images}, optimize=True)["logits"].astype(np.float64)
        agreed = (old.argmax(axis=1) == new.argmax(axis=1)).mean()
        assert found.agreement == pytest.approx(agreed, abs=1e-12)
        error = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert found.relative_error == pytest.approx(error, rel=1e-5)
        assert found.before.metric == half.report.before.metric
        assert found.after.metric == half.report.after.metric

    def test_without_data_only_costs(self) -> None:
        found = compare(LENET, LENET)
        assert (found.agreement, found.relative_error) == (None, None)
        assert found.before.metric is found.after.metric is None
        assert found.before.bytes == found.after.bytes == LENET.stat().st_size

    def test_a_model_agrees_with_itself(self) -> None:
        found = compare(LENET, LENET, DIGITS, samples=30)
        assert (found.agreement, found.relative_error) == (1.0, 0.0)

    @pytest.mark.parametrize("what", ["input", "output"])
    def test_another_interface(self, what: str) -> None:
        other = onnx.load(LENET)
        old = getattr(other.graph, what)[0].name
        for node in other.graph.node:
            for names in (node.input, node.output):
                names[:] = ["other" if name == old else name for name in names]
        getattr(other.graph, what)[0].name = "other"
        with pytest.raises(onnxtrim.DataError, match="different inputs or outputs"):
            compare(LENET, other)

    TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, C] y) {
      m = MatMul(x, w)
      y = Compress <axis=1> (m, chosen)
    }"""

    def choosing(self, *columns: bool) -> onnx.ModelProto:
        """Returns a model of which nobody can tell how many columns come out, but by a run."""
        rng = np.random.default_rng(0)
        w = rng.standard_normal((3, len(columns))).astype(np.float32)
        return proto_of(self.TEXT, {"w": w, "chosen": np.array(columns)})

    @pytest.mark.parametrize("columns", [(True, True, False, False), (True, False, False, False)])
    def test_outputs_that_turn_out_to_differ_in_size(self, columns: tuple[bool, ...]) -> None:
        """One column would fit each of three by broadcasting, and mean nothing."""
        x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
        three = self.choosing(True, True, True, False)
        assert compare(three, three, x).relative_error == 0.0
        size = sum(columns)
        with pytest.raises(onnxtrim.DataError) as caught:
            compare(three, self.choosing(*columns), x)
        assert str(caught.value) == (
            f"output 'y' has sizes (5, {size}) after and (5, 3) before; compare models of one "
            "interface"
        )

    @pytest.mark.parametrize("data", [None, np.zeros((5, 3), np.float32)], ids=["", "data"])
    @pytest.mark.parametrize(
        ("size", "fits"), [("4", True), ("C", True), ("3", False), ("1", False)]
    )
    def test_outputs_that_are_stated_to_differ_in_size(
        self, size: str, fits: bool, data: npt.NDArray[np.float32] | None
    ) -> None:
        def model(stated: str, columns: int) -> onnx.ModelProto:
            text = self.TEXT.replace("float[N, C]", f"float[N, {stated}]")
            w = np.ones((3, columns), np.float32)
            return proto_of(text, {"w": w, "chosen": np.ones(columns, np.bool_)})

        pair = model("4", 4), model(size, 4 if fits else int(size))
        if fits:
            assert compare(*pair, data).relative_error == (None if data is None else 0.0)
            return
        for models in (pair, pair[::-1]):
            with pytest.raises(onnxtrim.DataError, match="different inputs or outputs"):
                compare(*models, data)

    def test_an_output_of_another_rank(self) -> None:
        text = self.TEXT.replace("float[N, C] y", "float[C] y").replace(" <axis=1>", "")
        weights: Arrays = {"w": np.ones((3, 4), np.float32), "chosen": np.ones(4, np.bool_)}
        with pytest.raises(onnxtrim.DataError, match="different inputs or outputs"):
            compare(self.choosing(True, True, True, True), proto_of(text, weights))


class TestRealModel:
    """A ResNet-20 with its batch normalisations, where the folder of real models is there."""

    def test_half_of_every_layer_goes_and_is_proven(self) -> None:
        path = ASSETS / "models" / "cifar10_resnet20_bn_kept.onnx"
        if not path.is_file():
            pytest.skip(f"{path} is not there; ONNXTRIM_ASSETS names the folder of real models")
        result = prune(path, ratio=0.5, scope="layer", criterion="l1", align="none")
        report = result.report
        inner = {
            f"/layer{stage}/layer{stage}.{block}/conv1/Conv": 16 * 2 ** (stage - 1)
            for stage in (1, 2, 3)
            for block in (0, 1, 2)
        }
        widths = {row.name: (row.before, row.after) for row in report.groups}
        for name, width in inner.items():
            assert widths[name] == (width, width // 2)
        assert report.verification.max_rel_error <= 1e-4
        assert report.after.params <= report.before.params / 1.8
        assert all(row.code and row.reason for row in report.frozen)
        assert {"/linear/Gemm"} <= {row.name for row in report.frozen}


class TestNothingToCut:
    """Models in which every channel stays."""

    def test_it_says_why(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
          [only] y = Gemm(x, w)
        }"""
        proto = proto_of(text, {"w": np.ones((3, 2), np.float32)})
        with pytest.raises(onnxtrim.BudgetError) as caught:
            prune(proto, macs=0.5, criterion="l1")
        message = str(caught.value)
        assert message.startswith("nothing can be cut: ")
        assert "graph output" in message
        assert "inspect" in message

    def test_a_model_without_weights(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) {
          y = Relu(x)
        }"""
        with pytest.raises(onnxtrim.BudgetError, match=r"^nothing can be cut: no weight makes"):
            prune(proto_of(text), macs=0.5, criterion="l1")

    def test_everything_excluded(self) -> None:
        with pytest.raises(onnxtrim.BudgetError) as caught:
            prune(LENET, macs=0.5, criterion="l1", exclude=("*",))
        assert str(caught.value) == (
            "nothing can be cut: excluded: --exclude keeps conv1 whole, ...; inspect gives every "
            "reason"
        )


def test_an_operator_that_nobody_knows_is_a_barrier_and_no_end() -> None:
    """The graph before it is still cut, and the cut is proven."""
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
      [one] a = Gemm(x, w1)
      [act] r = Relu(a)
      [two] b = Gemm(r, w2)
      [scatter] s = ScatterND(b, place, figure)
      [last] y = Gemm(s, w3)
    }"""
    rng = np.random.default_rng(0)
    weights: Arrays = {
        "w1": rng.standard_normal((3, 8)).astype(np.float32),
        "w2": rng.standard_normal((8, 6)).astype(np.float32),
        "w3": rng.standard_normal((6, 2)).astype(np.float32),
        "place": np.array([[0, 1]]),
        "figure": np.array([0.5], np.float32),
    }
    result = prune(proto_of(text, weights), ratio=0.5, criterion="l1")
    assert [(r.name, r.after) for r in result.report.groups] == [("one", 4)]
    frozen = {row.name: row for row in result.report.frozen}
    assert "ScatterND" in frozen["two"].reason
    assert frozen["two"].code == "unknown operator"


def test_the_public_names_are_there_and_no_more() -> None:
    for name in onnxtrim.__all__:
        assert getattr(onnxtrim, name) is not None
    assert dir(onnxtrim) == list(onnxtrim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'finetun'"):
        onnxtrim.finetun  # noqa: B018


def test_every_error_has_one_root_and_a_status() -> None:
    statuses = {
        "BudgetError": 1, "DataError": 3, "LoadError": 3, "ModelError": 3, "OnnxtrimError": 3,
        "OutputError": 2, "PlanError": 3, "RecoveryError": 1, "RunError": 3, "ShapeError": 3,
        "TrainingError": 3, "UsageError": 2, "VerificationError": 1,
    }  # fmt: skip
    names = [name for name in onnxtrim.__all__ if name.endswith("Error")]
    assert sorted(statuses) == names
    for name, status in statuses.items():
        kind = getattr(onnxtrim, name)
        assert issubclass(kind, onnxtrim.OnnxtrimError)
        assert kind.exit_status == status
    for kind in (onnxtrim.LoadError, onnxtrim.RunError, onnxtrim.ShapeError):
        assert issubclass(kind, onnxtrim.ModelError)


def test_a_model_that_the_runtime_cannot_run_is_a_run_error() -> None:
    """It takes two gains; made-up inputs have 64 of them, and those of the user three."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N, 3] x, float[L] gains) => (float[N, 2] y) {
      [one] a = Gemm(x, w1)
      [act] r = Relu(a)
      [last] b = Gemm(r, w2)
      [scale] y = Mul(b, gains)
    }"""
    proto = proto_of(text, {"w1": np.ones((3, 8), np.float32), "w2": np.ones((8, 2), np.float32)})
    with pytest.raises(onnxtrim.RunError, match=r"the inputs were made up, give real ones by"):
        prune(proto, macs=0.5, criterion="l1")
    x = {"x": np.ones((3, 3), np.float32), "gains": np.ones(3, np.float32)}
    with pytest.raises(onnxtrim.RunError, match=r"^ONNX Runtime cannot run the model") as caught:
        prune(proto, x, macs=0.5, criterion="l1")
    assert "made up" not in str(caught.value)


def test_an_operator_set_too_old_for_the_proof_is_one_line() -> None:
    text = """<ir_version: 3, opset_import: ["": 6]>
    g (float[1,3,4,4] x) => (float[1,2,4,4] y) {
        h = Conv (x, w1) r = Relu (h) y = Conv (r, w2)
    }"""
    rng = np.random.default_rng(0)
    shapes = {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)}
    arrays = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    message = "model: operator set 6 is older than 7; convert the model by onnx.version_converter"
    with pytest.raises(onnxtrim.ModelError, match=message):
        onnxtrim.prune(proto_of(text, arrays), ratio=0.5, criterion="l1")
    assert [group.before for group in onnxtrim.inspect(proto_of(text, arrays)).groups] == [4]
