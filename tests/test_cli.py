"""The command line end to end, in the process: arguments in, files, text and a status out."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from oracle import proto_of, run
from PIL import Image

from onnxtrim.cli import main

ROOT = Path(__file__).parents[1]
LENET = ROOT / "models" / "lenet-digits.onnx"
DIGITS = str(ROOT / "models" / "digits")
MACS, PARAMS = 2_293_000, 431_080

REPORT = {
    "schema", "model", "before", "after", "groups", "frozen", "steps", "verification", "timings_s",
    "environment",
}  # fmt: skip

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Returns a copy of the LeNet in a folder of its own."""
    return Path(shutil.copy(LENET, tmp_path / "net.onnx"))


def done(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def quick(*arguments: str | Path) -> None:
    """Runs on one thread: several would wait for each other, spinning."""
    done(*arguments, "--threads", "1")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def macs_of(path: Path) -> int:
    """Returns the MACs of a LeNet, with sizes inferred by ONNX itself."""
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*inferred.value_info, *inferred.output]
    }
    weights = {t.name: list(t.dims) for t in inferred.initializer}
    return sum(
        int(np.prod(shapes[node.output[0]])) * int(np.prod(weights[node.input[1]][1:]))
        for node in inferred.node
        if node.op_type in ("Conv", "Gemm")
    )


def accuracy_of(path: Path) -> float:
    """Returns the accuracy on the digits, read by Pillow and run by ONNX Runtime."""
    files = sorted(Path(DIGITS).glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(f)) for f in files])[:, None].astype(np.float32)
    logits = run(onnx.load(path), {"image": images / np.float32(255)}, optimize=True)["logits"]
    labels = [int(f.parent.name) for f in files]
    return float((logits.argmax(axis=1) == labels).mean())


def document(text: str) -> dict[str, Any]:
    """Returns JSON by the letter."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


class TestPrune:
    """The default command."""

    def test_half_of_the_macs_in_every_form(
        self, model: Path, tmp_path: Path, capfd: Captured
    ) -> None:
        before = model.read_bytes()
        reports = [tmp_path / "report.json", tmp_path / "report.md"]
        arguments = ["--data", DIGITS, "--macs", "0.5", "--plan", str(tmp_path / "plan.json")]
        arguments += ["--criterion", "mean", "--compensate", "none", "--align", "16"]
        done(model, *arguments, "--report", reports[0], "--report", reports[1])
        out, err = capfd.readouterr()
        thin = tmp_path / "net-trimmed.onnx"
        assert names(tmp_path) == {
            "net.onnx", "net-trimmed.onnx", "report.json", "report.md", "plan.json",
        }  # fmt: skip
        assert model.read_bytes() == before
        assert macs_of(model) == MACS
        assert macs_of(thin) <= MACS / 2
        report = document(reports[0].read_text())
        assert report.keys() >= REPORT
        assert report["before"]["macs"] == MACS
        assert report["after"]["macs"] == macs_of(thin)
        assert report["after"]["bytes"] == thin.stat().st_size
        assert report["before"]["metric"]["name"] == "accuracy"
        assert report["before"]["metric"]["value"] == pytest.approx(accuracy_of(model), abs=1e-12)
        assert report["after"]["metric"]["value"] == pytest.approx(accuracy_of(thin), abs=1e-12)
        assert 0 < report["agreement"] < 1
        assert 0 < report["relative_error"] < 1
        assert report["verification"]["samples"] == 8
        assert report["verification"]["max_rel_error"] <= 1e-4
        markdown = reports[1].read_text()
        assert markdown.startswith("# net.onnx\n")
        assert "| conv1 | 20 |" in markdown
        assert err == ""
        for word in (
            "conv1", "conv2", "fc1", "fc2", "graph output", "accuracy", "agreement",
            "output error", "proven",
        ):  # fmt: skip
            assert word in out
        assert out.splitlines()[-1] == f"written: {thin}"

    def test_several_reports(self, model: Path, tmp_path: Path) -> None:
        a, b = tmp_path / "a.md", tmp_path / "b.json"
        quick(model, "--criterion", "l1", "--macs", "0.5", "-q", "--report", a, "--report", b)
        assert names(tmp_path) == {"net.onnx", "net-trimmed.onnx", "a.md", "b.json"}

    def test_the_output_goes_where_it_is_asked_to(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        for flag in ("-o", "--output"):
            target = tmp_path / "deep" / f"thin{flag}.onnx"
            quick(model, "--criterion", "l1", "--macs", "0.5", "-q", flag, target)
            assert macs_of(target) <= MACS / 2
        assert names(tmp_path) == {"net.onnx", "deep"}
        assert names(tmp_path / "deep") == {"thin-o.onnx", "thin--output.onnx"}

    def test_an_older_output_is_replaced(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "net-trimmed.onnx").write_text("old")
        quick(model, "--criterion", "l1", "--macs", "0.5", "-q")
        assert macs_of(tmp_path / "net-trimmed.onnx") <= MACS / 2
        assert names(tmp_path) == {"net.onnx", "net-trimmed.onnx"}

    def test_json_is_all_that_is_printed(self, model: Path, capfd: Captured) -> None:
        quick(model, "--criterion", "l1", "--params", "0.5", "--json")
        out, err = capfd.readouterr()
        assert err == ""
        report = document(out)
        assert report.keys() >= REPORT
        assert report["after"]["params"] <= PARAMS / 2

    @pytest.mark.parametrize("flag", ["-q", "--quiet"])
    def test_quiet_prints_nothing(self, model: Path, capfd: Captured, flag: str) -> None:
        quick(model, "--criterion", "l1", "--macs", "0.5", flag)
        assert capfd.readouterr() == ("", "")

    def test_ratio_by_layer(self, model: Path, capfd: Captured) -> None:
        budget = ["--ratio", "0.5", "--scope", "layer", "--align", "none"]
        quick(model, "--criterion", "l2", *budget, "--json")
        groups = document(capfd.readouterr().out)["groups"]
        assert [(g["name"], g["before"], g["after"]) for g in groups] == [
            ("conv1", 20, 10),
            ("conv2", 50, 25),
            ("fc1", 500, 250),
        ]

    def test_every_option_arrives(self, model: Path, capfd: Captured) -> None:
        options: dict[str, Any] = {
            "ratio": 0.1, "macs": 0.9, "params": "400k", "size": "1.7MB", "latency": "100s",
            "max_drop": 1.0, "criterion": "mean", "scope": "layer", "allocate": "sensitivity",
            "compensate": "linear", "refresh": 3,
            "reduce": "max", "normalize": "max", "align": 4, "min_channels": 3,
            "max_layer_ratio": 0.75, "include": ["conv*", "fc*"], "exclude": ["fc1"], "seed": 5,
            "image_size": [28, 28], "crop": 1.0, "mean": [0.5], "std": [0.25], "scale": 0.5,
            "layout": "nchw", "color": "gray", "samples": 20, "skip_bad": True, "batch_size": 7,
            "threads": 1,
        }  # fmt: skip
        arguments = []
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            if name in ("include", "exclude"):  # one glob a flag
                arguments += [part for glob in options[name] for part in (flag, glob)]
            elif value is True:
                arguments.append(flag)
            else:
                arguments += [flag, *map(str, value if isinstance(value, list) else [value])]
        done(model, "--data", DIGITS, *arguments, "--json")
        found = document(capfd.readouterr().out)
        assert found["settings"].keys() == options.keys() | {
            "below_std",
            "finetune",
            "lossless",
            "order",
            "pattern",
            "per_step",
            "preprocessor",
            "recipe",
            "slim_epochs",
            "start",
            "steps",
            "weights",
        }
        for name, value in options.items():
            assert str(found["settings"][name]) == str(value), name
        assert (found["data"]["samples"], found["data"]["held_out"]) == (20, 4)
        assert [g["name"] for g in found["groups"]] == ["conv1", "conv2"]

    def test_without_a_budget_a_drop_of_one_point_is_allowed(
        self, model: Path, capfd: Captured
    ) -> None:
        quick(model, "--data", DIGITS, "--align", "none", "--json")
        found = document(capfd.readouterr().out)
        assert found["settings"]["max_drop"] == 0.01
        assert found["data"]["held_out"] == 60
        assert found["after"]["metric"]["value"] >= found["before"]["metric"]["value"] - 0.01
        assert found["after"]["macs"] < MACS

    def test_the_size_is_that_of_the_file(self, model: Path, tmp_path: Path) -> None:
        quick(model, "--criterion", "l1", "--size", "1MB", "-q")
        assert 900_000 < (tmp_path / "net-trimmed.onnx").stat().st_size <= 1_000_000

    def test_network_trimming(self, model: Path, capfd: Captured) -> None:
        options = ["--criterion", "apoz", "--below-std", "1", "--align", "none"]
        quick(model, "--data", DIGITS, *options, "--json")
        found = document(capfd.readouterr().out)
        assert found["settings"]["below_std"] == 1.0
        for group in found["groups"]:
            assert 0.5 * group["before"] < group["after"] < group["before"]

    def test_criteria_are_compared(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        options = ["--criterion", "auto", "--macs", "0.5", "--samples", "50"]
        quick(model, "--data", DIGITS, *options, "--report", tmp_path / "r.json")
        rows = document((tmp_path / "r.json").read_text())["candidates"]
        assert [row["chosen"] for row in rows].count(True) == 1
        assert "random" in [row["criterion"] for row in rows]
        out, _ = capfd.readouterr()
        assert all(row["criterion"] in out for row in rows)
        assert "chosen" in out

    @pytest.mark.parametrize("how", ["module", "file"])
    def test_a_metric_of_ones_own(
        self,
        model: Path,
        tmp_path: Path,
        capfd: Captured,
        monkeypatch: pytest.MonkeyPatch,
        how: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        source = f"quality_of_{how}"
        (tmp_path / f"{source}.py").write_text(
            "def weights(model):\n"
            "    return sum(len(t.raw_data) for t in model.graph.initializer)\n"
        )
        name = f"{source}:weights" if how == "module" else f"{source}.py:weights"
        options = ["--criterion", "l1", "--params", "0.5", "--samples", "20", "--json"]
        quick(model, "--data", DIGITS, *options, "--metric", name)
        found = document(capfd.readouterr().out)
        for side in ("before", "after"):
            assert found[side]["metric"] == {"name": "weights", "value": 4 * found[side]["params"]}
        again = tmp_path / "net-trimmed.onnx"
        quick("compare", model, again, "--data", DIGITS, "--json", "--metric", name)
        both = document(capfd.readouterr().out)
        assert both["after"]["metric"] == found["after"]["metric"]

    def test_include_and_exclude(self, model: Path, capfd: Captured) -> None:
        common = ["--criterion", "l1", "--ratio", "0.5", "--json"]
        quick(model, *common, "--include", "conv1", "--include", "fc1", "--exclude", "fc1")
        found = document(capfd.readouterr().out)
        assert [g["name"] for g in found["groups"]] == ["conv1"]
        codes = {row["name"]: row["code"] for row in found["frozen"]}
        assert codes == {"conv2": "excluded", "fc1": "excluded", "fc2": "graph output"}
        reasons = {row["name"]: row["reason"] for row in found["frozen"]}
        assert "--include" in reasons["conv2"]
        assert "--exclude" in reasons["fc1"]

    def test_a_seed_decides(self, model: Path, tmp_path: Path) -> None:
        plans = []
        for seed in ("1", "1", "2"):
            plan = tmp_path / "plan.json"
            options = ["--criterion", "random", "--ratio", "0.5", "--seed", seed]
            quick(model, *options, "--plan", plan, "-q")
            plans.append(document(plan.read_text())["initializers"])
        assert plans[0] == plans[1] != plans[2]

    def test_a_warning_reaches_the_reader(self, tmp_path: Path, capfd: Captured) -> None:
        proto = onnx.load(LENET)
        for node in proto.graph.node:
            if node.name == "relu1":
                node.op_type = "Tanh"
        assert any(node.op_type == "Tanh" for node in proto.graph.node)
        onnx.save(proto, tmp_path / "tanh.onnx")
        options = ["--criterion", "apoz", "--data", DIGITS, "--samples", "30", "--macs", "0.5"]
        quick(tmp_path / "tanh.onnx", *options)
        out, _ = capfd.readouterr()
        (line,) = [line for line in out.splitlines() if line.startswith("warning: ")]
        assert line.startswith("warning: conv1: apoz ")

    def test_the_plan_of_a_model_with_graphs_inside(self, tmp_path: Path) -> None:
        """An If beside what is cut; its bodies are nothing that a plan could say."""
        text = """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3] x, bool c) => (float[N, 2] y, float[N, 3] z) {
          [choice] z = If (c) <
            then_branch = then () => (float[N, 3] p) { p = Neg(x) },
            else_branch = other () => (float[N, 3] q) { q = Abs(x) }>
          [one] a = Gemm(x, w1)
          [act] r = Relu(a)
          [last] y = Gemm(r, w2)
        }"""
        rng = np.random.default_rng(0)
        weights = {
            "w1": rng.standard_normal((3, 8)).astype(np.float32),
            "w2": rng.standard_normal((8, 2)).astype(np.float32),
        }
        source, plan = tmp_path / "if.onnx", tmp_path / "plan.json"
        onnx.save(proto_of(text, weights), source)
        quick(source, "--criterion", "l1", "--params", "0.5", "--plan", plan, "-q")
        assert names(tmp_path) == {"if.onnx", "if-trimmed.onnx", "plan.json"}
        found = document(plan.read_text())
        assert {name: len(a[k]) for name, a in found["initializers"].items() for k in a} == {
            "w1": 4,
            "w2": 4,
        }
        assert found["attributes"] == {}
        quick("apply", source, plan, "-o", tmp_path / "again.onnx", "-q")
        assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "if-trimmed.onnx").read_bytes()

    def test_flags_may_stand_before_the_model(self, model: Path, tmp_path: Path) -> None:
        quick("--criterion", "l1", "-q", "--macs", "0.5", model)
        assert names(tmp_path) == {"net.onnx", "net-trimmed.onnx"}


class TestApply:
    """`onnxtrim apply`."""

    def test_the_same_model_byte_for_byte(self, model: Path, tmp_path: Path) -> None:
        plan, once, again = (tmp_path / n for n in ("plan.json", "once.onnx", "again.onnx"))
        plain = ("--macs", "0.5", "--compensate", "none")
        quick(model, "--data", DIGITS, *plain, "--plan", plan, "-o", once, "-q")
        quick("apply", model, plan, "-o", again, "-q")
        assert again.read_bytes() == once.read_bytes()
        assert again.read_bytes() != model.read_bytes()

    def test_default_output_report_and_text(
        self, model: Path, tmp_path: Path, capfd: Captured
    ) -> None:
        plan = tmp_path / "by-hand.json"
        kept = list(range(16))
        plan.write_text(
            json.dumps({"schema": "onnxtrim.plan/1", "initializers": {"conv1.bias": {"0": kept}}})
        )
        report = tmp_path / "r.json"
        quick("apply", model, plan, "--data", DIGITS, "--samples", "50", "--report", report)
        out, err = capfd.readouterr()
        assert err == ""
        assert out.splitlines()[-1] == f"written: {tmp_path / 'net-trimmed.onnx'}"
        found = document(report.read_text())
        assert [(g["name"], g["after"]) for g in found["groups"]] == [
            ("conv1", 16),
            ("conv2", 50),
            ("fc1", 500),
        ]
        assert found["after"]["metric"]["name"] == "accuracy"

    def test_json_and_quiet(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        plan = tmp_path / "plan.json"
        plan.write_text('{"schema": "onnxtrim.plan/1", "initializers": {}}')
        quick("apply", model, plan, "--json")
        out, err = capfd.readouterr()
        assert (document(out)["after"]["macs"], err) == (MACS, "")
        quick("apply", model, plan, "-q")
        assert capfd.readouterr() == ("", "")


def reports(folder: Path) -> list[str | Path]:
    """Returns the flags for a report of each kind."""
    return ["--report", folder / "r.json", "--report", folder / "r.md"]


class TestInspect:
    """`onnxtrim inspect`."""

    def test_text(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        quick("inspect", model)
        out, err = capfd.readouterr()
        assert err == ""
        for word in ("conv1", "conv2", "fc1", "fc2", "graph output: logits is an output", "2.29 M"):
            assert word in out
        assert names(tmp_path) == {"net.onnx"}

    def test_json_with_data(self, model: Path, capfd: Captured) -> None:
        quick("inspect", model, "--data", DIGITS, "--samples", "40", "--json")
        out, err = capfd.readouterr()
        assert err == ""
        found = document(out)
        assert found["cost"]["macs"] == MACS
        assert all(0 < g["statistics"]["zeros"] < 1 for g in found["groups"])

    def test_reports(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        quick("inspect", model, "-q", *reports(tmp_path))
        assert capfd.readouterr() == ("", "")
        assert document((tmp_path / "r.json").read_text())["frozen"][0]["name"] == "fc2"
        assert "| fc2 | 10 |" in (tmp_path / "r.md").read_text()


class TestCompare:
    """`onnxtrim compare`."""

    def test_text(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        thin = tmp_path / "thin.onnx"
        quick(model, "--criterion", "l1", "--macs", "0.5", "-q", "-o", thin)
        quick("compare", model, thin, "--data", DIGITS, "--samples", "50")
        out, err = capfd.readouterr()
        assert err == ""
        for word in (
            "parameters", "MACs", "2.29 M", "latency", "accuracy", "agreement", "output error",
        ):  # fmt: skip
            assert word in out

    def test_json_without_data(self, model: Path, capfd: Captured) -> None:
        quick("compare", model, model, "--json")
        out, err = capfd.readouterr()
        found = document(out)
        assert (found["before"]["macs"], found["after"]["macs"], err) == (MACS, MACS, "")
        assert found["agreement"] is None
        assert 0 < found["latency_ratio"]["p10"] <= found["latency_ratio"]["p90"]

    def test_reports(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        quick("compare", model, model, "-q", *reports(tmp_path))
        assert capfd.readouterr() == ("", "")
        assert document((tmp_path / "r.json").read_text())["names"] == ["net.onnx", "net.onnx"]
        assert (tmp_path / "r.md").read_text().startswith("# net.onnx and net.onnx\n")


class TestSensitivity:
    """`onnxtrim sensitivity`."""

    QUICK = ("--data", DIGITS, "--samples", "30", "--criterion", "l1", "--points", "2")

    def test_text(self, model: Path, tmp_path: Path, capfd: Captured) -> None:
        quick("sensitivity", model, *self.QUICK)
        out, err = capfd.readouterr()
        assert err == ""
        for word in ("conv1", "conv2", "fc1", "Units removed: accuracy", "225: ", "450: "):
            assert word in out
        assert names(tmp_path) == {"net.onnx"}

    def test_json(self, model: Path, capfd: Captured) -> None:
        share = ["--max-layer-ratio", "0.5", "--exclude", "fc1"]
        quick("sensitivity", model, *self.QUICK, *share, "--json")
        out, err = capfd.readouterr()
        assert err == ""
        found = document(out)
        assert found["whole"]["name"] == "accuracy"
        assert [(c["group"], c["width"]) for c in found["curves"]] == [("conv1", 20), ("conv2", 50)]
        points = {c["group"]: [p["removed"] for p in c["points"]] for c in found["curves"]}
        assert points == {"conv1": [5, 10], "conv2": [12, 25]}
        # 15 of 20: conv1 is 288,000 of 2,293,000, conv2 reads it for 1,600,000
        left = (288_000 * 0.75 + 1_600_000 * 0.75 + 405_000) / MACS
        assert found["curves"][0]["points"][0]["macs"] == pytest.approx(left, rel=1e-9)

    def test_quiet_with_reports_and_a_picture(
        self, model: Path, tmp_path: Path, capfd: Captured
    ) -> None:
        pytest.importorskip("matplotlib")
        arguments = ["-q", "--include", "conv1", *reports(tmp_path)]
        for name, magic in (("p.png", b"\x89PNG\r\n"), ("p.SVG", b"<?xml")):
            quick("sensitivity", model, *self.QUICK, *arguments, "--plot", tmp_path / name)
            assert (tmp_path / name).read_bytes().startswith(magic)
        assert capfd.readouterr() == ("", "")
        assert names(tmp_path) == {"net.onnx", "p.png", "p.SVG", "r.json", "r.md"}
        assert len(document((tmp_path / "r.json").read_text())["curves"]) == 1
        assert "| conv1 | 20 |" in (tmp_path / "r.md").read_text()

    def test_a_metric_of_ones_own(
        self, model: Path, tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "quality_of_curves.py").write_text(
            "def filters(model):\n"
            "    return {t.name: t.dims[0] for t in model.graph.initializer}['conv1.bias']\n"
        )
        options = ["--include", "conv1", "--metric", "quality_of_curves:filters", "--json"]
        quick("sensitivity", model, *self.QUICK, *options)
        found = document(capfd.readouterr().out)
        assert found["whole"] == {"name": "filters", "value": 20.0}
        assert [20 - p["metric"] for p in found["curves"][0]["points"]] == [9, 18]


class TestProgram:
    """The program itself."""

    def test_help_says_what_the_statuses_mean(self, capfd: Captured) -> None:
        done("--help")
        out = " ".join(capfd.readouterr().out.split())
        assert "Usage: onnxtrim" in out
        assert re.search(r"0 done, 1 .*, 2 usage, 3 .*, 130 interrupted", out)
        for command in ("apply", "inspect", "compare", "sensitivity"):
            assert command in out

    def test_version(self, capfd: Captured) -> None:
        from importlib.metadata import version

        done("--version")
        assert capfd.readouterr().out.strip() == version("onnxtrim")

    def test_help_loads_nothing_heavy(self) -> None:
        code = (
            "import sys; from onnxtrim.cli import main; main(['--help']);"
            "heavy = {'onnx', 'onnx_ir', 'onnxruntime', 'numpy', 'PIL'} & set(sys.modules);"
            "sys.exit(f'loaded: {heavy}' if heavy else 0)"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr

    def test_a_reader_that_leaves_is_no_fault_of_ours(self, model: Path) -> None:
        """As in `onnxtrim inspect net.onnx --json | head -1`."""
        command = [sys.executable, "-m", "onnxtrim", "inspect", str(model), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            said = process.stderr.read().decode()
        assert "internal error" not in said
        assert "Traceback" not in said

    def test_as_a_module(self, model: Path) -> None:
        command = [sys.executable, "-m", "onnxtrim", "inspect", str(model), "--json"]
        found = subprocess.run(command, capture_output=True, text=True)
        assert (found.returncode, found.stderr) == (0, "")
        assert document(found.stdout)["cost"]["macs"] == MACS
