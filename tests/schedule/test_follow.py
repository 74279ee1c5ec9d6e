"""Runs in steps from the command line: arguments in, files, text and a status out."""

import json
import os
import shutil
from pathlib import Path

import pytest

from onnxtrim.cli import main

MODELS = Path(__file__).parents[2] / "models"
QUICK = [
    *("--data", str(MODELS / "digits"), "--threads", "1", "--samples", "100"),
    *("--compensate", "none", "--align", "none", "--criterion", "l1"),
]

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(MODELS / "lenet-digits.onnx", tmp_path / "net.onnx"))


def own(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_what_is_typed_goes_before_a_recipe_and_that_before_defaults(
    model: Path, tmp_path: Path, capfd: Captured
) -> None:
    recipe = own(tmp_path, "[prune]\nscope = 'layer'\nratio = 0.5\nseed = 4\n[loop]\nsteps = 2\n")
    # `--scope global` is the default, and typed all the same.
    arguments = [str(model), *QUICK, "--recipe", recipe, "--scope", "global", "--json"]
    assert main(arguments) == 0
    settings = json.loads(capfd.readouterr().out)["settings"]
    assert (settings["scope"], settings["ratio"], settings["seed"]) == ("global", 0.5, 4)
    assert (settings["steps"], settings["recipe"]) == (2, recipe)


def test_the_steps_are_shown_and_drawn(model: Path, tmp_path: Path, capfd: Captured) -> None:
    picture, report = tmp_path / "way.svg", tmp_path / "report.md"
    steps = ["--macs", "0.5", "--steps", "3", "--plot", str(picture), "--report", str(report)]
    assert main([str(model), *QUICK, *steps]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "params left" in out
    assert "before tuning" not in out
    assert picture.read_text(encoding="utf-8").count('<g id="axes_') == 2
    assert "| step | params left | MACs left |" in report.read_text(encoding="utf-8")


def test_a_budget_that_is_not_reached_is_written_and_told(
    model: Path, tmp_path: Path, capfd: Captured
) -> None:
    arguments = [*QUICK, "--params", "0.1", "--per-step", "0.1", "--steps", "2"]
    assert main([str(model), *arguments]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("onnxtrim: the budget was not reached: all 2 steps were taken")
    assert err.count("\n") == 1
    assert f"written: {tmp_path / 'net-trimmed.onnx'}" in out


def test_a_run_is_gone_on_with(model: Path, tmp_path: Path, capfd: Captured) -> None:
    arguments = [str(model), *QUICK, "--macs", "0.5", "--steps", "2", "--workdir"]
    folder, out = str(tmp_path / "run"), tmp_path / "net-trimmed.onnx"
    assert main([*arguments, folder, "-q"]) == 0
    first = out.read_bytes()
    assert main([*arguments, folder, "-q"]) == 2
    assert "give --resume" in capfd.readouterr().err
    assert main([*arguments, folder, "--resume", "-q"]) == 0
    assert out.read_bytes() == first
    assert sorted(os.listdir(folder)) == ["state.json", "step-002.onnx"]


def test_the_list_of_recipes(capfd: Captured) -> None:
    assert main(["recipes"]) == 0
    out = capfd.readouterr().out
    assert "gradual-global" in out
    assert "Hu et al. 2016" in out
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in listed] == sorted(one["name"] for one in listed)
    assert main(["recipes", "-q"]) == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "nothing"], "--recipe nothing: there is none; give one of gradual-global"),
        (["--steps", "2"], "--steps 2: say how far each goes"),
        (["--macs", "0.5", "--resume"], "give --workdir, too"),
        (["--macs", "0.5", "--per-step", "2", "--steps", "2"], "--per-step 2.0: is a share"),
        (["--macs", "0.5", "--plot", "way.gif"], "the suffix must be .png or .svg"),
        (
            ["--macs", "0.5", "--workdir", "/dev/null/run"],
            "/dev/null/run: cannot be made",
        ),
    ],
)
def test_bad_input_is_one_line(
    model: Path, tmp_path: Path, capfd: Captured, arguments: list[str], said: str
) -> None:
    assert main([str(model), *QUICK, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
