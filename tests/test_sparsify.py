"""Weight pruning end to end, on the LeNet of this repository."""

import gzip
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import run
from PIL import Image

import onnxtrim
from onnxtrim.cli import main
from onnxtrim.errors import UsageError, VerificationError
from onnxtrim.sparsify import NOTE

ROOT = Path(__file__).parents[1]
LENET, DIGITS = ROOT / "models" / "lenet-digits.onnx", ROOT / "models" / "digits"
TENSORS = {"conv1.weight": 500, "conv2.weight": 25_000, "fc1.weight": 400_000, "fc2.weight": 5_000}
TOTAL = 430_500


def weights(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}


def accuracy(proto: onnx.ModelProto) -> float:
    paths = sorted(DIGITS.glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in paths])[:, None] / np.float32(255)
    logits = run(proto, {"image": images.astype(np.float32)}, optimize=True)["logits"]
    return float((logits.argmax(axis=1) == [int(path.parent.name) for path in paths]).mean())


@pytest.fixture(scope="module")
def result() -> onnxtrim.PruneResult:
    return onnxtrim.prune(LENET, DIGITS, weights=0.9, threads=1)


def test_the_report_says_what_is_in_the_file(result: onnxtrim.PruneResult, tmp_path: Path) -> None:
    path = result.save(tmp_path / "out.onnx")
    saved, report = onnx.load(path), result.report
    found = report.sparsity
    assert found is not None
    old, new = weights(onnx.load(LENET)), weights(saved)
    assert {row.tensor: row.weights for row in found.layers} == TENSORS
    for row in found.layers:
        array = new[row.tensor]
        assert row.zeros == np.count_nonzero(array == 0)
        assert row.sparsity == row.zeros / row.weights
        np.testing.assert_array_equal(array[array != 0], old[row.tensor][array != 0])
    assert (found.weights, found.zeros) == (TOTAL, round(0.9 * TOTAL))
    assert found.gzip_after == len(gzip.compress(path.read_bytes(), compresslevel=6))
    assert found.gzip_after < 0.3 * found.gzip_before
    assert report.after.bytes == path.stat().st_size
    assert (report.after.macs, report.after.params) == (report.before.macs, report.before.params)
    assert found.note == NOTE


def test_the_accuracy_is_that_of_the_runtime(result: onnxtrim.PruneResult) -> None:
    metric = result.report.after.metric
    assert metric is not None
    assert metric.value == pytest.approx(accuracy(ir.to_proto(result.model)), abs=1e-12)
    assert result.report.steps[-1].metric == metric


def test_no_channel_goes(result: onnxtrim.PruneResult) -> None:
    assert (result.plan.initializers, result.plan.groups) == ({}, ())
    assert (result.report.groups, result.report.frozen) == ((), ())
    settings = result.report.settings
    assert (settings["criterion"], settings["compensate"]) == ("l1", "none")
    assert result.report.verification.max_rel_error < 1e-5


def test_the_least_weights_go(result: onnxtrim.PruneResult) -> None:
    old, new = weights(onnx.load(LENET)), weights(ir.to_proto(result.model))
    gone = max(float(np.abs(old[name][new[name] == 0]).max()) for name in TENSORS)
    kept = min(float(np.abs(new[name][new[name] != 0]).min()) for name in TENSORS)
    assert gone <= kept


def test_that_a_tensor_has_nothing_left_is_said() -> None:
    report = onnxtrim.prune(LENET, weights=0.9999, threads=1).report
    assert report.sparsity is not None
    empty = [row.tensor for row in report.sparsity.layers if row.zeros == row.weights]
    (warning,) = report.warnings
    assert warning.startswith(f"all weights of {empty[0]} are 0, so that nothing passes there")


def test_what_could_not_be_proven_is_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxtrim import sparsify
    from onnxtrim.finetune.study import with_weights

    def wrong(model: ir.Model, config: object) -> tuple[ir.Model, tuple[()]]:
        del config
        return with_weights(model, {"fc2.bias": np.ones(10, np.float32)}), ()

    monkeypatch.setattr(sparsify, "made_sparse", wrong)
    with pytest.raises(VerificationError, match=r"weight 'fc2\.bias' is neither"):
        onnxtrim.prune(LENET, weights=0.5, threads=1)


def test_even_steps_come_to_the_share_that_is_asked_for(tmp_path: Path) -> None:
    run = partial(onnxtrim.prune, LENET, weights=0.6, steps=3, threads=1, workdir=tmp_path)
    found = run()
    once = onnxtrim.prune(LENET, weights=0.6, threads=1)
    mine, its = (
        {n: v.const_value.numpy() for n, v in r.model.graph.initializers.items() if v.const_value}
        for r in (found, once)
    )
    assert all(np.array_equal(mine[name], its[name]) for name in its)
    assert found.report.sparsity is not None
    assert once.report.sparsity is not None
    assert found.report.sparsity.zeros == once.report.sparsity.zeros
    assert len(found.report.steps) == 3
    again = run(resume=True)
    assert again.report.sparsity == found.report.sparsity


class TestCommandLine:
    """Arguments in, a file and a status out."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return Path(shutil.copy(LENET, tmp_path / "net.onnx"))

    def test_a_pattern_without_data(self, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
        arguments = ["--pattern", "2:4", "--exclude", "conv2", "--json", "--threads", "1"]
        assert main([str(model), *arguments]) == 0
        found = json.loads(capfd.readouterr().out)
        rows = {row["tensor"]: row for row in found["sparsity"]["layers"]}
        assert rows["conv1.weight"]["reason"] == "it reads 1 in a row, which is no multiple of 4"
        assert rows["conv2.weight"]["reason"] == "--exclude keeps it dense"
        assert rows["fc1.weight"]["zeros"] == 200_000
        new = weights(onnx.load(model.with_name("net-trimmed.onnx")))
        rows_of = new["fc1.weight"].reshape(-1, 4)  # (500, 800) of a Gemm with transB
        assert (np.count_nonzero(rows_of, axis=1) == 2).all()

    def test_the_text_says_that_zeros_are_no_gain_by_themselves(
        self, model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(model), "--weights", "0.5", "--scope", "layer", "--threads", "1"]) == 0
        out = "".join(capfd.readouterr().out.split())
        assert "".join(NOTE.split()) in out
        assert "sparsity50.00%" in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--weights", "0"], "--weights 0.0: is the share"),
            (["--weights", "1"], "--weights 1.0: is the share"),
            (["--weights", "1.5"], "--weights 1.5: is the share"),
            (["--pattern", "2:5:1"], "--pattern 2:5:1: give N:M"),
            (["--pattern", "4:2"], "--pattern 4:2: give N:M"),
            (["--weights", "0.5", "--pattern", "2:4"], "--weights 0.5 and --pattern 2:4"),
            (["--weights", "0.5", "--macs", "0.5"], "--weights 0.5 and --macs 0.5 contradict"),
            (["--weights", "0.5", "--include", "x*"], "--include x*: matches no weight"),
            (["--pattern", "2:4", "--steps", "3"], "--pattern takes one step; leave --steps"),
            (["--weights", "0.5", "--steps", "3", "--per-step", "0.1"], "the steps of --weights"),
            (["--weights", "0.5", "--keep-zeros"], "--keep-zeros True: is of fine-tuning"),
        ],
    )
    def test_bad_input(
        self, model: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(model), *arguments]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
        assert not model.with_name("net-trimmed.onnx").exists()


def test_tuning_takes_samples() -> None:
    with pytest.raises(UsageError, match="--finetune learns from samples"):
        onnxtrim.prune(LENET, weights=0.5, finetune=True)
