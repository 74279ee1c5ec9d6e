"""Recipes: what they hold, what goes before them, and every line that refuses one."""

from pathlib import Path

import pytest

import onnxtrim
from onnxtrim.errors import UsageError
from onnxtrim.schedule.config import run_config
from onnxtrim.schedule.recipe import recipe_of, recipes

NAMES = [
    "gradual-global",
    "iterative-l2",
    "iterative-weights",
    "network-trimming",
    "one-shot",
    "proportional",
    "slimming",
]


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_published_ones_are_there() -> None:
    assert [recipe.name for recipe in recipes()] == NAMES
    for recipe in recipes():
        assert recipe.summary.endswith(".")
        assert recipe.source


@pytest.mark.parametrize("name", NAMES)
def test_each_makes_a_run(name: str) -> None:
    config = run_config(recipe_of(name).options)
    assert config.tuning is not None
    assert config.loop.loops is (name != "one-shot")


def test_network_trimming_is_the_rule_of_the_paper() -> None:
    config = run_config(recipe_of("network-trimming").options)
    assert (config.pruning.criterion, config.pruning.below_std) == ("apoz", 1.0)
    assert config.loop.order == "spreading"


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    text = (Path(onnxtrim.__file__).parent / "recipes/slimming.toml").read_text(encoding="utf-8")
    assert recipe_of(written(tmp_path, text)).options == recipe_of("slimming").options


def test_what_is_given_goes_before() -> None:
    recipe = recipe_of("gradual-global")
    found = run_config(recipe.under({"criterion": "std", "per_step": 0.2}))
    assert (found.pruning.criterion, found.loop.per_step) == ("std", 0.2)
    assert found.pruning.max_drop == 0.01


def test_a_budget_takes_the_place_of_the_one_it_has() -> None:
    recipe = recipe_of("slimming")
    assert run_config(recipe.options).pruning.budgets == {"--params": 0.5}
    assert run_config(recipe.under({"macs": 0.7})).pruning.budgets == {"--macs": 0.7}


def test_it_can_do_without_tuning() -> None:
    found = run_config(recipe_of("gradual-global").under({"finetune": False}))
    assert found.tuning is None
    assert found.loop.steps == 12


def test_an_empty_table_asks_for_tuning(tmp_path: Path) -> None:
    path = written(tmp_path, "[prune]\nmacs = 0.5\n[tune]\n")
    assert run_config(recipe_of(path).options).tuning is not None
    path = written(tmp_path, "[prune]\nmacs = 0.5\n")
    assert run_config(recipe_of(path).options).tuning is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("criterion = 'l1'\n", ["unknown key criterion = 'l1'", "[prune], [loop], [tune]"]),
        ("prune = 3\n", ["prune = 3", "is a table, [prune]"]),
        ("summary = 3\n", ["summary = 3", "give a text"]),
        ("[prune]\ncriterium = 'l1'\n", ["[prune] unknown key criterium = 'l1'", "criterion"]),
        ("[loop]\nmacs = 0.5\n", ["[loop] unknown key macs = 0.5", "per_step"]),
        ("[prune]\ncriterion = 'best'\n", ["--criterion best", "one of aaws"]),
        ("[prune]\nmacs = true\n", ["--macs True", "a number or a text"]),
        ("[loop]\nsteps = 1.5\n", ["--steps 1.5", "a whole number"]),
        ("[loop]\nper_step = 1.0\nsteps = 3\n", ["--per-step 1.0", "between 0 and 1"]),
        ("[loop]\norder = 'backwards'\n", ["--order backwards", "together, in-turn, spreading"]),
        ("[tune]\nepochs = 0\n", ["--epochs 0", "1 or more"]),
        ("[prune]\nmacs = 0.5\n[loop]\norder = 'in-turn'\nsteps = 9\n", ["in-turn", "--ratio"]),
        ("[prune]\nmacs = 0.5\n[loop]\norder = 'spreading'\nsteps = 9\n", ["--below-std"]),
        ("[loop]\nsteps = 9\n", ["--steps 9", "--per-step"]),
        ("[loop]\nper_step = 0.1\n", ["--per-step 0.1", "--steps"]),
        (
            "[prune]\nbelow_std = 1.0\n[loop]\nsteps = 3\nper_step = 0.1\n",
            ["--below-std 1.0", "--per-step 0.1", "leave one of them out"],
        ),
        ("[prune]\nbelow_std = 1.0\nmacs = 0.5\n", ["--below-std 1.0 and --macs 0.5 contradict"]),
        ("[prune]\nlossless = true\n[loop]\nsteps = 3\n", ["--lossless takes one step"]),
        ("[prune]\nmacs = 0.5\n[loop]\nslim_epochs = 2\n", ["--slim-epochs 2", "--slim"]),
        (
            "[prune]\nmacs = 0.5\n[loop]\nsteps = 2\n[tune]\nkeep_artifacts = 'there'\n",
            ["--keep-artifacts", "finetune"],
        ),
        (
            "[prune]\nmacs = 0.5\nratio = 0.5\n[loop]\nsteps = 9\nper_step = 0.1\n"
            "order = 'in-turn'\n",
            ["--macs 0.5", "in-turn"],
        ),
        ("[prune\n", ["is not TOML"]),
    ],
)
def test_it_is_refused(tmp_path: Path, text: str, said: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        recipe_of(path)
    message = str(caught.value)
    assert message.startswith(f"recipe {path}: ")
    assert "\n" not in message
    for part in said:
        assert part in message


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--recipe trimming: there is none; give one of gradual"):
        recipe_of("trimming")
    with pytest.raises(UsageError, match=r"cannot be read .*check the path"):
        recipe_of(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"below_std": 1.0, "ratio": 0.5}, "--below-std 1.0 and --ratio 0.5 contradict"),
        ({"below_std": 0.0, "size": 0.5}, "--below-std 0.0 and --size 0.5 contradict"),
        ({"below_std": 1, "latency": "2ms"}, "--below-std 1 and --latency 2ms contradict"),
        ({"below_std": 1.0, "max_drop": 0.0}, "--below-std 1.0 and --max-drop 0.0 contradict"),
        ({"order": "spreading"}, "--order spreading: is of several; give --steps"),
        ({"start": 3, "macs": 0.5}, "--start 3: is of several; give --steps"),
        ({"steps": 0}, "--steps 0: 1 or more"),
        ({"slim_epochs": -1}, "--slim-epochs -1: 0 or more"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_config(options)  # type: ignore[arg-type]
    assert said in str(caught.value)
