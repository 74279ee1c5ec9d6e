"""Bad input: one line that says what, where and what to do; the documented status; no new file."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import proto_of
from PIL import Image

import onnxtrim.api
import onnxtrim.execute
from onnxtrim.channels import ChannelMap
from onnxtrim.cli import main
from onnxtrim.selection import PrunePlan
from onnxtrim.surgery import cut

ROOT = Path(__file__).parents[1]
LENET = ROOT / "models" / "lenet-digits.onnx"
DIGITS = ROOT / "models" / "digits"
L1 = ["--criterion", "l1", "--macs", "0.5"]


@dataclass
class Failure:
    """A status and the one line that explains it."""

    status: int
    line: str

    def says(self, status: int, *words: str) -> None:
        """Fails unless the status is `status` and the line holds all of `words`."""
        assert (self.status, [w for w in words if w not in self.line]) == (status, []), self.line


@dataclass
class Desk:
    """A folder with a model in it, and a command line that must leave it as it is."""

    folder: Path
    capfd: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture

    @property
    def model(self) -> Path:
        return self.folder / "net.onnx"

    def contents(self) -> dict[str, bytes]:
        """Returns the bytes of every file, by path; folders count as files without any."""
        return {
            str(p.relative_to(self.folder)): p.read_bytes() if p.is_file() else b""
            for p in sorted(self.folder.rglob("*"))
        }

    def fails(self, *arguments: str | Path, touched: bool = False) -> Failure:
        """Returns how the command line fails, in one line, with nothing said or written besides."""
        before = self.contents()
        status = main([str(argument) for argument in arguments])
        out, err = self.capfd.readouterr()
        assert status != 0
        assert out == ""
        assert not self.caplog.records, "what is logged ends up on standard error"
        assert err.startswith("onnxtrim: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1, err
        assert "internal error" not in err, err
        assert "Traceback" not in err
        if not touched:
            assert self.contents() == before
        return Failure(status, err.removeprefix("onnxtrim: ").rstrip("\n"))


@pytest.fixture
def desk(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    shutil.copy(LENET, tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capfd, caplog)


def lenet(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    """Returns the LeNet with its graph changed."""
    proto = onnx.load(LENET)
    change(proto.graph)
    return proto


COMMANDS = [L1, ["inspect"], ["compare"], ["apply"]]


def call(command: list[str], model: Path, plan: Path) -> list[str | Path]:
    """Returns the arguments that run a command on `model`."""
    if command == ["compare"]:
        return ["compare", model, model]
    if command == ["apply"]:
        return ["apply", model, plan]
    return ["inspect", model] if command == ["inspect"] else [model, *command]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "empty-plan.json"
    path.write_text('{"schema": "onnxtrim.plan/1", "initializers": {}}')
    return path


class TestModel:
    """The model cannot be used."""

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_missing(self, desk: Desk, plan: Path, command: list[str]) -> None:
        failure = desk.fails(*call(command, Path("nowhere.onnx"), plan))
        failure.says(3, "nowhere.onnx", "no such file", "check the path")

    def test_in_a_missing_folder(self, desk: Desk) -> None:
        desk.fails(Path("no", "where.onnx"), *L1).says(3, "no/where.onnx", "no such file")

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_a_folder(self, desk: Desk, plan: Path, command: list[str]) -> None:
        failure = desk.fails(*call(command, desk.folder, plan))
        failure.says(3, str(desk.folder), "is a folder", "name the .onnx file in it")

    @pytest.mark.parametrize("name", [".", "..", "/"])
    def test_a_folder_without_a_name(self, desk: Desk, name: str) -> None:
        desk.fails(name, *L1).says(3, "is a folder")

    @pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
    def test_truncated(self, desk: Desk, share: float) -> None:
        data = LENET.read_bytes()
        desk.model.write_bytes(data[: int(share * len(data))])
        desk.fails(desk.model, *L1).says(3, "net.onnx", "not an ONNX file", "export it again")

    def test_a_text_file(self, desk: Desk) -> None:
        desk.model.write_text("# A model\n\nThis is not one.\n")
        desk.fails(desk.model, *L1).says(3, "net.onnx", "not an ONNX file")

    def test_an_empty_file(self, desk: Desk) -> None:
        desk.model.write_bytes(b"")
        desk.fails(desk.model, *L1).says(3, "net.onnx", "not an ONNX file")

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_without_its_external_weights(self, desk: Desk, plan: Path, command: list[str]) -> None:
        path = desk.folder / "big.onnx"
        proto = onnx.load(LENET)
        onnx.save(proto, path, save_as_external_data=True, location="big.data", size_threshold=0)
        (desk.folder / "big.data").unlink()
        failure = desk.fails(*call(command, path, plan))
        failure.says(3, "big.onnx", "big.data", "is missing", "put it beside the model")

    def test_with_external_weights_cut_short(self, desk: Desk) -> None:
        path, data = desk.folder / "big.onnx", desk.folder / "big.data"
        proto = onnx.load(LENET)
        onnx.save(proto, path, save_as_external_data=True, location="big.data", size_threshold=0)
        data.write_bytes(data.read_bytes()[:-1])
        desk.fails(path, *L1).says(3, "big.onnx", "big.data", "is truncated", "copy it again")

    def test_with_a_weight_cut_short(self, desk: Desk) -> None:
        def shorten(graph: onnx.GraphProto) -> None:
            (weight,) = [t for t in graph.initializer if t.name == "conv2.weight"]
            weight.raw_data = weight.raw_data[:-40]

        onnx.save(lenet(shorten), desk.model)
        desk.fails(desk.model, *L1).says(3, "conv2.weight")

    def test_with_a_tensor_that_nobody_makes(self, desk: Desk) -> None:
        def lose(graph: onnx.GraphProto) -> None:
            (conv,) = [n for n in graph.node if n.name == "conv2"]
            conv.input[0] = "lost"

        onnx.save(lenet(lose), desk.model)
        desk.fails(desk.model, *L1).says(3, "lost")

    def test_with_shapes_that_contradict_each_other(self, desk: Desk) -> None:
        def turn(graph: onnx.GraphProto) -> None:
            (weight,) = [t for t in graph.initializer if t.name == "fc1.weight"]
            weight.dims[:] = [800, 500]

        onnx.save(lenet(turn), desk.model)
        desk.fails(desk.model, *L1).says(3, "shape")

    def test_with_an_operator_that_the_runtime_does_not_know(self, desk: Desk) -> None:
        def mystify(graph: onnx.GraphProto) -> None:
            (relu,) = [n for n in graph.node if n.name == "relu3"]
            relu.op_type, relu.domain = "Mystery", "my.own"

        proto = lenet(mystify)
        proto.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
        onnx.save(proto, desk.model)
        desk.fails(desk.model, *L1, "--data", DIGITS).says(3, "ONNX Runtime cannot", "Mystery")
        failure = desk.fails(desk.model, *L1)
        failure.says(3, "ONNX Runtime cannot load", "Mystery")
        assert "made up" not in failure.line, "no input in the world would help"

    def test_that_takes_no_made_up_inputs(self, desk: Desk) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3] x, float[L] gains) => (float[N, 2] y) {
          [one] a = Gemm(x, w1)
          [act] r = Relu(a)
          [last] b = Gemm(r, w2)
          [scale] y = Mul(b, gains)
        }"""
        weights = {"w1": np.ones((3, 8), np.float32), "w2": np.ones((8, 2), np.float32)}
        onnx.save(proto_of(text, weights), desk.model)
        desk.fails(desk.model, *L1).says(3, "inputs were made up", "--data")

    def test_without_groups_that_can_be_cut(self, desk: Desk) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
          [only] y = Gemm(x, w)
        }"""
        onnx.save(proto_of(text, {"w": np.ones((3, 2), np.float32)}), desk.model)
        failure = desk.fails(desk.model, *L1)
        failure.says(1, "nothing can be cut", "graph output", "inspect")

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--include", "fc2"], "--include keeps conv1 whole"),
            (["--exclude", "conv?", "--exclude", "fc1"], "--exclude keeps conv1 whole"),
            (["--include", "conv1", "--exclude", "conv1.weight"], "--exclude keeps conv1 whole"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_where_globs_leave_nothing_to_cut(
        self, desk: Desk, arguments: list[str], why: str
    ) -> None:
        failure = desk.fails(desk.model, *L1, *arguments)
        failure.says(1, "inspect gives every reason")
        assert failure.line.startswith(f"nothing can be cut: excluded: {why}, ")


class TestData:
    """The data cannot be used."""

    def pruning(self, desk: Desk, data: str | Path) -> Failure:
        return desk.fails(desk.model, "--macs", "0.5", "--data", data)

    def test_missing(self, desk: Desk) -> None:
        self.pruning(desk, "nowhere").says(3, "nowhere", "does not exist", "give a folder")

    def test_an_empty_folder(self, desk: Desk) -> None:
        (desk.folder / "calib").mkdir()
        self.pruning(desk, "calib").says(3, "calib", "is empty", "put images")

    def test_a_folder_of_something_else(self, desk: Desk) -> None:
        (desk.folder / "calib").mkdir()
        (desk.folder / "calib" / "notes.txt").write_text("hello")
        self.pruning(desk, "calib").says(3, "calib", "holds no image", "give the folder that does")

    @pytest.mark.parametrize("content", [b"", b"no image at all", "half"])
    def test_an_image_that_does_not_decode(self, desk: Desk, content: bytes | str) -> None:
        (desk.folder / "calib").mkdir()
        good = desk.folder / "calib" / "a.png"
        noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(noise).save(good)
        bad = desk.folder / "calib" / "b.png"
        data = good.read_bytes()
        bad.write_bytes(data[: len(data) // 2] if isinstance(content, str) else content)
        self.pruning(desk, "calib").says(3, "b.png", "image")

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"image": np.zeros((4, 1, 28, 27), np.float32)}, ["(4, 1, 28, 27)", "(N, 1, 28, 28)"]),
            ({"image": np.zeros((4, 28, 28, 1), np.float32)}, ["(4, 28, 28, 1)", "reshape"]),
            ({"image": np.zeros((28, 28), np.float32)}, ["(28, 28)", "(N, 1, 28, 28)"]),
            ({"image": np.zeros((0, 1, 28, 28), np.float32)}, ["0 samples"]),
            ({"image": np.zeros((4, 1, 28, 28), np.complex64)}, ["complex64", "float32"]),
            ({"image": np.full((4, 1, 28, 28), "a")}, ["<U1", "float32", "convert"]),
            ({"image": np.full((4, 1, 28, 28), np.nan)}, ["sample 0", "NaN", "'image'"]),
            ({"image": np.full((4, 1, 28, 28), np.inf)}, ["sample 0", "infinity", "'image'"]),
            ({"one": np.zeros(3), "two": np.zeros(3)}, ["no array for input 'image'", "one, two"]),
        ],
        ids=["size", "layout", "rank", "none", "complex", "text", "nan", "inf", "names"],
    )
    def test_arrays_that_do_not_fit(
        self, desk: Desk, arrays: dict[str, np.ndarray[Any, Any]], words: list[str]
    ) -> None:
        np.savez(desk.folder / "calib.npz", **arrays)  # type: ignore[arg-type]
        self.pruning(desk, "calib.npz").says(3, "calib.npz", *words)

    def test_one_sample_of_many_with_nan(self, desk: Desk) -> None:
        x = np.zeros((10, 1, 28, 28), np.float32)
        x[7, 0, 3, 4] = np.nan
        np.savez(desk.folder / "calib.npz", image=x)
        self.pruning(desk, "calib.npz").says(3, "calib.npz", "sample 7", "remove it")

    @pytest.mark.parametrize("name", ["calib.npz", "calib.npy"])
    def test_a_file_that_only_looks_like_arrays(self, desk: Desk, name: str) -> None:
        (desk.folder / name).write_text("hello")
        self.pruning(desk, name).says(3, name, "cannot be read", "save it again")

    def test_labels_of_another_number(self, desk: Desk) -> None:
        x = np.zeros((10, 1, 28, 28), np.float32)
        np.savez(desk.folder / "calib.npz", image=x, labels=np.zeros(9, np.int64))
        self.pruning(desk, "calib.npz").says(3, "calib.npz", "labels", "(10,)")

    @pytest.mark.parametrize("named", [False, True])
    def test_a_preprocessor_with_an_unknown_step(self, desk: Desk, named: bool) -> None:
        folder = desk.folder / "calib"
        shutil.copytree(DIGITS, folder)
        path = desk.folder / "own.json" if named else folder / "preprocessor_config.json"
        path.write_text('{"do_pad": true}')
        arguments: list[str | Path] = ["--macs", "0.5", "--data", folder]
        if named:
            arguments += ["--preprocessor", path]
        failure = desk.fails(desk.model, *arguments)
        failure.says(3, path.name, "do_pad", "not supported", "--image-size")

    def test_a_test_set_that_is_damaged(self, desk: Desk) -> None:
        folder = desk.folder / "calib" / "test_data_set_0"
        folder.mkdir(parents=True)
        (folder / "input_0.pb").write_bytes(b"no tensor")
        self.pruning(desk, "calib").says(3, "input_0.pb", "cannot be read as a tensor")

    def test_bad_files_only_stop_even_a_run_that_skips_them(self, desk: Desk) -> None:
        (desk.folder / "calib").mkdir()
        for name in ("a.png", "b.png"):
            (desk.folder / "calib" / name).write_bytes(b"no image at all")
        failure = desk.fails(desk.model, "--macs", "0.5", "--data", "calib", "--skip-bad")
        failure.says(3, "a.png", "does not decode")

    @pytest.mark.parametrize("option", ["--scale", "--mean", "--std"])
    def test_preprocessing_that_makes_nan(self, desk: Desk, option: str) -> None:
        arguments = ["--macs", "0.5", "--data", str(DIGITS), option, "nan"]
        failure = desk.fails(desk.model, *arguments)
        assert failure.status in (2, 3)
        failure.says(failure.status, option)


class TestUsage:
    """Options that make no sense."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], ["no budget", "--macs", "--ratio"]),
            (["--criterion", "l1"], ["no budget"]),
            (["--ratio", "1.5"], ["--ratio 1.5", "below 1"]),
            (["--ratio", "1"], ["--ratio 1", "below 1"]),
            (["--ratio", "-0.5"], ["--ratio"]),
            (["--ratio", "0.95"], ["--ratio 0.95", "--max-layer-ratio 0.9"]),
            (["--ratio", "half"], ["--ratio", "half"]),
            (["--macs", "lots", "--criterion", "l1"], ["--macs lots", "0.5", "500k"]),
            (["--macs", "0", "--criterion", "l1"], ["--macs 0", "0.5"]),
            (["--params", "8MB", "--criterion", "l1"], ["--params 8MB"]),
            (["--macs", "1e400", "--criterion", "l1"], ["--macs ", "give a fraction", "500k"]),
            (["--params", "1e400", "--criterion", "l1"], ["--params ", "give a fraction", "500k"]),
            (["--macs", "1.5", "--criterion", "l1"], ["--macs 1.5", "at most 1", "1.5M"]),
            (["--params", "1.5", "--criterion", "l1"], ["--params 1.5", "at most 1", "1.5M"]),
            (["--macs", "0.5"], ["--criterion reconstruction", "--data"]),
            (["--macs", "0.5", "--criterion", "apoz"], ["--criterion apoz", "--data"]),
            (["--macs", "0.5", "--criterion", "weights"], ["--criterion", "weights", "apoz", "l2"]),
            (["--macs", "0.5", "--criterion", "auto"], ["--criterion auto", "--data"]),
            (
                ["--macs", "0.5", "--criterion", "l1", "--allocate", "sensitivity"],
                ["--allocate sensitivity", "--data"],
            ),
            (["--max-drop", "0.01", "--criterion", "l1"], ["--max-drop", "--data"]),
            (["--max-drop", "-1"], ["--max-drop"]),
            (["--size", "12ms", "--criterion", "l1"], ["--size 12ms", "0.5", "8MB"]),
            (["--size", "8QB", "--criterion", "l1"], ["--size 8QB", "0.5", "8MB"]),
            (["--latency", "12", "--criterion", "l1"], ["--latency 12", "0.5", "12ms"]),
            (["--latency", "0", "--criterion", "l1"], ["--latency 0", "0.5", "12ms"]),
            (["--latency", "8MB", "--criterion", "l1"], ["--latency 8MB", "0.5", "12ms"]),
            (
                ["--below-std", "1", "--macs", "0.5", "--criterion", "l1"],
                ["--below-std 1", "--macs 0.5", "contradict"],
            ),
            (["--below-std", "1", "--criterion", "auto"], ["--criterion auto", "--below-std"]),
            (["--below-std", "nan", "--criterion", "l1"], ["--below-std nan", "finite"]),
            (["--macs", "0.5", "--criterion", "l1", "--metric", "quality"], ["module:function"]),
            (["--macs", "0.5", "--criterion", "l1", "--metric", "nowhere:f"], ["nowhere"]),
            (["--macs", "0.5", "--criterion", "l1", "--metric", "math:pi"], ["no function"]),
            (["--macs", "0.5", "--criterion", "l1", "--metric", "math:exp"], ["--data"]),
            (["--macs", "0.5", "--scope", "net"], ["--scope", "net", "global", "layer"]),
            (["--macs", "0.5", "--align", "0", "--criterion", "l1"], ["--align 0", "auto", "none"]),
            (["--macs", "0.5", "--align", "x", "--criterion", "l1"], ["--align x", "auto", "ncnn"]),
            (["--macs", "0.5", "--min-channels", "0"], ["--min-channels 0", "at least 1"]),
            (["--macs", "0.5", "--max-layer-ratio", "2"], ["--max-layer-ratio 2", "0 to 1"]),
            (["--macs", "0.5", "--seed", "-1", "--criterion", "random"], ["--seed"]),
            (["--macs", "0.5", "--seed", "x"], ["--seed", "x"]),
            (["--macs", "0.5", "--samples", "0"], ["--samples 0", "at least 1"]),
            (["--macs", "0.5", "--batch-size", "0"], ["--batch-size 0"]),
            (["--macs", "0.5", "--threads", "-1"], ["--threads -1"]),
            (["--macs", "0.5", "--std", "0"], ["--std", "0"]),
            (["--macs", "0.5", "--image-size", "28"], ["--image-size"]),
            (["--macs"], ["--macs"]),
            (["--macs", "0.5", "--sparsity", "0.5"], ["--sparsity", "--help"]),
            (["--macs", "0.5", "-x"], ["-x", "--help"]),
            (["second.onnx", "--macs", "0.5"], ["second.onnx", "--help"]),
            ([*L1, "--quiet", "--json"], ["--quiet", "--json", "contradict"]),
            ([*L1, "-q", "--json"], ["--quiet", "--json", "contradict"]),
        ],
        ids=lambda value: " ".join(value),
    )
    def test_pruning(self, desk: Desk, arguments: list[str], words: list[str]) -> None:
        desk.fails(desk.model, *arguments).says(2, *words)

    @pytest.mark.parametrize("option", ["--include", "--exclude"])
    @pytest.mark.parametrize("others", [[], ["conv1"], ["*"]], ids=" ".join)
    @pytest.mark.parametrize("glob", ["convolution1", "conv", "CONV1", "fc3*"])
    def test_a_glob_that_matches_nothing(
        self, desk: Desk, option: str, others: list[str], glob: str
    ) -> None:
        arguments = [part for each in (*others, glob) for part in (option, each)]
        failure = desk.fails(desk.model, *L1, *arguments)
        assert (failure.status, failure.line) == (
            2,
            f"{option} {glob}: matches no group; inspect lists their names and tensors",
        )

    def test_nothing_at_all(self, desk: Desk) -> None:
        desk.fails().says(2, "model", "--help")

    @pytest.mark.parametrize(
        "command", [["inspect"], ["compare", "net.onnx"], ["apply", "net.onnx"]]
    )
    def test_too_little(self, desk: Desk, command: list[str]) -> None:
        desk.fails(*command).says(2, "--help")

    @pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
    def test_contradictory_speech(self, desk: Desk, plan: Path, command: list[str]) -> None:
        failure = desk.fails(*call(command, desk.model, plan), "-q", "--json")
        failure.says(2, "--quiet", "--json", "contradict")

    def test_images_for_an_input_of_another_colour(self, desk: Desk) -> None:
        arguments = ["--macs", "0.5", "--data", str(DIGITS), "--color", "rgb"]
        desk.fails(desk.model, *arguments).says(2, "--color rgb", "gray")

    def test_two_figures_for_one_channel(self, desk: Desk) -> None:
        arguments = ["--macs", "0.5", "--data", str(DIGITS), "--mean", "0.5", "0.5"]
        desk.fails(desk.model, *arguments).says(2, "--mean", "2 figures", "1 channel")


class TestSensitivity:
    """Curves that cannot be had."""

    CURVES = ("--data", str(DIGITS), "--samples", "20", "--criterion", "l1", "--points", "1")

    @pytest.mark.parametrize("name", ["p.gif", "p", "p.png.gz", "png"])
    def test_a_picture_in_another_format(self, desk: Desk, name: str) -> None:
        failure = desk.fails("sensitivity", desk.model, *self.CURVES, "--plot", name)
        failure.says(2, f"--plot {name}", ".png or .svg")

    @pytest.mark.parametrize("flag", ["--plot", "--report"])
    def test_where_nothing_can_be_written(self, desk: Desk, flag: str) -> None:
        name = {"--plot": "no/p.png", "--report": "no/r.json"}[flag]
        failure = desk.fails("sensitivity", desk.model, *self.CURVES, flag, name)
        failure.says(2, name, "folder no does not exist")

    def test_a_picture_over_the_model(self, desk: Desk) -> None:
        model = shutil.copy(LENET, desk.folder / "net.png")
        failure = desk.fails("sensitivity", model, *self.CURVES, "--plot", "net.png")
        failure.says(2, "net.png", "is an input of this run")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--points", "0"], ["--points 0", "at least 1"]),
            (["--points", "-3"], ["--points -3"]),
            (["--points", "few"], ["--points", "few"]),
            (["--macs", "0.5"], ["--macs", "--help"]),
            (["--criterion", "auto"], ["--criterion", "auto"]),
            (["--criterion", "taylor"], ["--criterion taylor", "gradients"]),
            (["--max-layer-ratio", "2"], ["--max-layer-ratio 2"]),
            (["--include", "conv9"], ["--include conv9", "matches no group"]),
            (["--metric", "quality"], ["--metric quality", "module:function"]),
        ],
        ids=lambda value: " ".join(value),
    )
    def test_options_that_make_no_sense(
        self, desk: Desk, arguments: list[str], words: list[str]
    ) -> None:
        command = ["sensitivity", str(desk.model), "--data", str(DIGITS), "--samples", "20"]
        desk.fails(*command, *arguments).says(2, *words)

    def test_data_are_needed(self, desk: Desk) -> None:
        desk.fails("sensitivity", desk.model).says(2, "--data", "--help")

    def test_nothing_to_try(self, desk: Desk) -> None:
        failure = desk.fails("sensitivity", desk.model, *self.CURVES, "--exclude", "*")
        failure.says(1, "nothing can be cut")


class TestMetric:
    """A metric of one's own that cannot be used."""

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("raise RuntimeError('no\\ntables')", ["RuntimeError: no tables", "onnx.ModelProto"]),
            ("return float('nan')", ["returned nan", "finite"]),
            ("return 'good'", ["ValueError", "figure"]),
            ("return None", ["TypeError", "figure"]),
        ],
    )
    @pytest.mark.parametrize("command", ["prune", "compare"])
    def test_it_fails_on_the_model(
        self, desk: Desk, command: str, body: str, words: list[str]
    ) -> None:
        (desk.folder / "quality.py").write_text(f"def score(model):\n    {body}\n")
        before: list[str | Path] = [desk.model, *L1]
        if command == "compare":
            before = ["compare", desk.model, desk.model]
        data = ["--data", str(DIGITS), "--samples", "20", "--metric", "quality.py:score"]
        desk.fails(*before, *data).says(3, "--metric score", *words)

    def test_it_is_none(self, desk: Desk) -> None:
        (desk.folder / "quality.py").write_text("score = 3\n1 / 0\n")
        failure = desk.fails(desk.model, *L1, "--data", DIGITS, "--metric", "quality.py:score")
        failure.says(2, "--metric quality.py:score", "ZeroDivisionError")

    @pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
    def test_without_data(self, desk: Desk, plan: Path, command: list[str]) -> None:
        failure = desk.fails(*call(command, desk.model, plan), "--metric", "math:exp")
        failure.says(2, "--metric", "give --data")


class TestOutput:
    """What is to be written cannot be, or should not."""

    def test_over_the_model(self, desk: Desk) -> None:
        failure = desk.fails(desk.model, *L1, "-o", "net.onnx")
        failure.says(2, "net.onnx", "is an input of this run", "another name")

    def test_over_the_model_through_a_link(self, desk: Desk) -> None:
        (desk.folder / "link.onnx").symlink_to(desk.model)
        desk.fails(desk.model, *L1, "-o", "link.onnx").says(2, "is an input of this run")

    @pytest.mark.parametrize("flag", ["--plan", "--report"])
    def test_another_output_over_the_model(self, desk: Desk, flag: str) -> None:
        """A model may be called anything, `.json` too; it is never to be written over."""
        model = shutil.copy(LENET, desk.folder / "net.json")
        desk.fails(model, *L1, flag, "net.json").says(2, "net.json")

    def test_a_report_over_the_plan_that_is_replayed(self, desk: Desk, plan: Path) -> None:
        desk.fails("apply", desk.model, plan, "--report", plan).says(2, plan.name)

    def test_the_model_over_the_plan_that_is_replayed(self, desk: Desk, plan: Path) -> None:
        desk.fails("apply", desk.model, plan, "-o", plan).says(2, plan.name)

    def test_over_the_weights_beside_the_model(self, desk: Desk) -> None:
        path = desk.folder / "big.onnx"
        proto = onnx.load(LENET)
        onnx.save(proto, path, save_as_external_data=True, location="big.data", size_threshold=0)
        desk.fails(path, *L1, "-o", "big.data").says(2, "big.data")

    def test_over_the_data(self, desk: Desk) -> None:
        x = np.random.default_rng(0).random((4, 1, 28, 28), np.float32)
        np.savez(desk.folder / "calib.npz", image=x)
        arguments = ["--data", "calib.npz", "--macs", "0.5", "-o", "calib.npz"]
        desk.fails(desk.model, *arguments).says(2, "calib.npz")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--plan", "a.json", "--report", "a.json"],
            ["--report", "a.json", "--report", "a.json"],
            ["--report", "a.json", "--report", "./a.json"],
            ["-o", "a.json", "--report", "a.json"],
            ["-o", "a.onnx", "--plan", "a.onnx"],
            ["--plan", "net-trimmed.onnx"],
        ],
        ids=" ".join,
    )
    def test_two_with_one_path(self, desk: Desk, arguments: list[str]) -> None:
        desk.fails(desk.model, *L1, *arguments).says(2, "same path", "name of its own")

    @pytest.mark.parametrize("flag", ["-o", "--plan", "--report"])
    def test_in_a_missing_folder(self, desk: Desk, flag: str) -> None:
        failure = desk.fails(desk.model, *L1, flag, "no/where.json")
        failure.says(2, "no/where.json", "folder no does not exist", "make it first")

    @pytest.mark.parametrize("flag", ["-o", "--plan", "--report"])
    def test_a_folder(self, desk: Desk, flag: str) -> None:
        (desk.folder / "there.json").mkdir()
        failure = desk.fails(desk.model, *L1, flag, "there.json")
        failure.says(2, "there.json", "is a folder", "file name")

    @pytest.mark.parametrize("flag", ["-o", "--plan", "--report"])
    def test_below_a_file(self, desk: Desk, flag: str) -> None:
        desk.fails(desk.model, *L1, flag, "net.onnx/x.json").says(2, "net.onnx/x.json")

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
    @pytest.mark.parametrize("flag", ["-o", "--plan", "--report"])
    def test_in_a_folder_that_may_not_be_written(self, desk: Desk, flag: str) -> None:
        locked = desk.folder / "locked"
        locked.mkdir(mode=0o500)
        desk.fails(desk.model, *L1, flag, "locked/x.json").says(2, "locked/x.json", "written")

    @pytest.mark.parametrize("name", ["r.txt", "r.html", "r", "json", "r.json.gz"])
    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_a_report_in_another_format(
        self, desk: Desk, plan: Path, command: list[str], name: str
    ) -> None:
        failure = desk.fails(*call(command, desk.model, plan), "--report", name)
        failure.says(2, f"--report {name}", ".json", ".md")

    @pytest.mark.parametrize("command", COMMANDS[1:3], ids=" ".join)
    def test_of_the_other_commands(self, desk: Desk, plan: Path, command: list[str]) -> None:
        failure = desk.fails(*call(command, desk.model, plan), "--report", "no/where.json")
        failure.says(2, "no/where.json", "does not exist")


class TestBudget:
    """What was asked cannot be had."""

    def test_out_of_reach(self, desk: Desk) -> None:
        failure = desk.fails(desk.model, "--criterion", "l1", "--macs", "0.001")
        failure.says(1, "macs 2,293 asked", "reachable", "--max-layer-ratio", "frozen")
        reachable = re.search(r"([\d,]+) \((\d+)% of the original\) reachable", failure.line)
        assert reachable is not None
        figure = int(reachable[1].replace(",", ""))
        assert 2_293 < figure < 2_293_000
        assert int(reachable[2]) == round(100 * figure / 2_293_000)
        assert main([str(desk.model), "--criterion", "l1", "--macs", str(figure), "-q"]) == 0

    def test_too_small_a_file(self, desk: Desk) -> None:
        failure = desk.fails(desk.model, "--criterion", "l1", "--size", "10kB")
        failure.says(1, "size 10,000 asked", "reachable")
        reachable = re.search(r"([\d,]+) \((\d+)% of the original\) reachable", failure.line)
        assert reachable is not None
        figure = reachable[1].replace(",", "")
        assert main([str(desk.model), "--criterion", "l1", "--size", figure, "-q"]) == 0
        assert (desk.folder / "net-trimmed.onnx").stat().st_size == int(figure)

    def test_too_slow(self, desk: Desk) -> None:
        failure = desk.fails(desk.model, "--criterion", "l1", "--latency", "0.01us")
        failure.says(1, "--latency 0.01us asked", " ms (", "of the original) reachable")

    def test_too_much_lost(self, desk: Desk) -> None:
        options = ["--data", str(DIGITS), "--macs", "0.1", "--max-drop", "0"]
        options += ["--compensate", "none"]
        failure = desk.fails(desk.model, *options)
        failure.says(1, "cannot be met together", "accuracy loses", "--max-drop allows 0")

    def test_no_score_far_below_the_mean(self, desk: Desk) -> None:
        failure = desk.fails(desk.model, "--criterion", "l1", "--below-std", "9")
        failure.says(1, "--below-std 9", "lower it")

    def test_two_of_them(self, desk: Desk) -> None:
        budget = ["--macs", "100", "--params", "50", "--min-channels", "8"]
        failure = desk.fails(desk.model, "--criterion", "l1", *budget)
        failure.says(1, "macs 100 asked", "params 50 asked", "--min-channels")


class TestPlan:
    """The plan cannot be replayed."""

    def applying(self, desk: Desk, text: str | bytes) -> Failure:
        path = desk.folder / "plan.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return desk.fails("apply", desk.model, path)

    def cutting(self, desk: Desk, initializers: object) -> Failure:
        document = {"schema": "onnxtrim.plan/1", "initializers": initializers}
        return self.applying(desk, json.dumps(document))

    def test_missing(self, desk: Desk) -> None:
        failure = desk.fails("apply", desk.model, "nowhere.json")
        failure.says(3, "nowhere.json", "cannot be read", "check the path")

    def test_a_folder(self, desk: Desk) -> None:
        desk.fails("apply", desk.model, desk.folder).says(3, "cannot be read", "check the path")

    @pytest.mark.parametrize("text", ["", "{", '{"schema": "onnxtrim.plan/1",', "hello"])
    def test_damaged_json(self, desk: Desk, text: str) -> None:
        self.applying(desk, text).says(3, "plan", "not JSON", "line 1")

    def test_no_text(self, desk: Desk) -> None:
        self.applying(desk, b"\xff\xfe\x00\x80").says(3, "plan.json", "cannot be read")

    def test_a_report_instead(self, desk: Desk) -> None:
        failure = self.applying(desk, '{"schema": "onnxtrim.report/1"}')
        failure.says(3, "onnxtrim.report/1", "onnxtrim.plan/1")

    def test_the_model_instead(self, desk: Desk) -> None:
        desk.fails("apply", desk.model, desk.model).says(3, "net.onnx", "cannot be read")

    @pytest.mark.parametrize(
        ("initializers", "words"),
        [
            ([1], ["damaged"]),
            ({"conv9.weight": {"0": [0]}}, ["conv9.weight", "carries no channels"]),
            ({"conv1.weight": {"0": [0, 20]}}, ["conv1.weight", "from 0 to 19"]),
            ({"fc2.weight": {"0": [0, 1]}}, ["fc2.weight", "frozen", "inspect"]),
            ({"conv1.bias": {"0": []}}, ["conv1.bias", "nothing", "keep one"]),
            (
                {"conv1.bias": {"0": [0]}, "conv1.weight": {"0": [1]}},
                ["conv1.", "removes elsewhere"],
            ),
        ],
    )
    def test_one_that_does_not_fit(
        self, desk: Desk, initializers: object, words: list[str]
    ) -> None:
        self.cutting(desk, initializers).says(3, "plan", *words)


def tampered(model: ir.Model, channel_map: ChannelMap, plan: PrunePlan) -> ir.Model:
    """Returns the right cut with one weight off."""
    thinner = cut(model, channel_map, plan)
    weight = thinner.graph.initializers["fc2.bias"]
    assert weight.const_value is not None
    array = np.array(weight.const_value.numpy())
    array[3] += 5
    weight.const_value = ir.Tensor(array, name="fc2.bias")
    return thinner


class TestProof:
    """A cut that cannot be proven leaves a reproducer and no model."""

    @pytest.fixture(autouse=True)
    def tamper(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxtrim.execute, "cut", tampered)

    def failed(self, desk: Desk, *arguments: str | Path) -> Failure:
        before = desk.contents()
        failure = desk.fails(*arguments, touched=True)
        after = desk.contents()
        assert {name: after[name] for name in before} == before
        failure.says(1, "'logits'", "differs from the masked original", "reproducer", "report")
        return failure

    def test_pruning(self, desk: Desk) -> None:
        arguments = ["--report", "r.json", "--plan", "p.json", "-o", "thin.onnx"]
        failure = self.failed(desk, desk.model, "--data", DIGITS, "--macs", "0.5", *arguments)
        assert "thin.failed" in failure.line
        folder = desk.folder / "thin.failed"
        assert {p.name for p in desk.folder.iterdir()} == {"net.onnx", "thin.failed"}
        assert {p.name for p in folder.iterdir()} == {"model.onnx", "plan.json", "inputs.npz"}
        plan = PrunePlan.from_json((folder / "plan.json").read_text())
        assert plan.initializers["conv1.weight"]
        with np.load(folder / "inputs.npz") as inputs:
            assert inputs["image"].shape == (8, 1, 28, 28)
        onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)

    def test_the_reproducer_reproduces(self, desk: Desk) -> None:
        self.failed(desk, desk.model, *L1)
        folder = desk.folder / "net-trimmed.failed"
        shutil.copytree(folder, desk.folder / "again")
        again = [desk.folder / "again" / n for n in ("model.onnx", "plan.json", "inputs.npz")]
        self.failed(desk, "apply", again[0], again[1], "--data", again[2])

    def test_a_second_failure_leaves_one_folder(self, desk: Desk) -> None:
        self.failed(desk, desk.model, *L1)
        desk.fails(desk.model, *L1, touched=True).says(1, "reproducer")
        assert {p.name for p in desk.folder.iterdir()} == {"net.onnx", "net-trimmed.failed"}

    def test_a_file_where_the_reproducer_would_go(self, desk: Desk) -> None:
        (desk.folder / "net-trimmed.failed").write_text("mine")
        failure = desk.fails(desk.model, *L1, touched=True)
        assert (desk.folder / "net-trimmed.failed").read_text() == "mine"
        assert not (desk.folder / "net-trimmed.onnx").exists()
        failure.says(1, "differs from the masked original")

    def test_from_python_nothing_is_written_at_all(self, desk: Desk) -> None:
        before = desk.contents()
        with pytest.raises(onnxtrim.VerificationError) as caught:
            onnxtrim.prune(desk.model, macs=0.5, criterion="l1")
        assert desk.contents() == before
        assert caught.value.reproducer is not None
        caught.value.reproducer.save(desk.folder / "kept")
        assert (desk.folder / "kept" / "model.onnx").is_file()


class TestInterruption:
    """Somebody presses Ctrl-C."""

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_any_command(
        self, desk: Desk, plan: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
    ) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        for room in (onnxtrim.api, onnxtrim.look):
            monkeypatch.setattr(room, "prepare", interrupt)
        failure = desk.fails(*call(command, desk.model, plan))
        failure.says(130, "interrupted", "half-written")


class TestVerbose:
    """`-v` adds the traceback, and the line stays the last."""

    @pytest.mark.parametrize("flag", ["-v", "--verbose"])
    def test_traceback(self, desk: Desk, flag: str) -> None:
        assert main(["nowhere.onnx", *L1, flag]) == 3
        out, err = desk.capfd.readouterr()
        assert out == ""
        assert err.startswith("Traceback (most recent call last):")
        assert err.splitlines()[-1].startswith("onnxtrim: nowhere.onnx: no such file")

    def test_a_fault_of_ours_is_one_line_too(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("something\nodd")

        monkeypatch.setattr(onnxtrim.api, "prepare", fail)
        assert main([str(desk.model), *L1]) == 3
        out, err = desk.capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith(
            "onnxtrim: internal error: RuntimeError: something odd; please report"
        )
