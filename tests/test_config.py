"""One field = one flag = one option; and every line that refuses a value."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from onnxtrim.cli import main
from onnxtrim.config import (
    DataConfig,
    DataOptions,
    PruneConfig,
    PruneOptions,
    data_config,
)
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import RecoveryOptions, TuneConfig, recovery_configs
from onnxtrim.schedule.config import LoopConfig, RunOptions

DATA = [field.name for field in dataclasses.fields(DataConfig)]
PRUNE = [field.name for field in dataclasses.fields(PruneConfig)]
LOOP = [field.name for field in dataclasses.fields(LoopConfig)]
TUNE = [field.name for field in dataclasses.fields(TuneConfig)]
COMMAND = {
    "": {
        "model",
        "data",
        "train_data",
        "output",
        "report",
        "plan",
        "metric",
        "recipe",
        "workdir",
        "resume",
        "plot",
    },
    "finetune": {"model", "data", "teacher", "output", "report"},
    "apply": {"model", "plan", "data", "output", "report", "compensate", "metric"},
    "inspect": {"model", "data", "report"},
    "compare": {"before", "after", "data", "report", "metric"},
    "sensitivity": {
        "model",
        "data",
        "points",
        "criterion",
        "max_layer_ratio",
        "include",
        "exclude",
        "seed",
        "plot",
        "report",
        "metric",
    },
}
"""The flags of each command that are no field of a configuration."""

EVERYWHERE = {"json", "quiet", "verbose"}


def flags(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns the flags that the help of a command lists, in the spelling of Python."""
    assert main([*([command] if command else []), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    listed = re.findall(r"^│[ *]+[^│]*?(?<![\w-])--([a-z][a-z-]*)", out, flags=re.MULTILINE)
    return [flag.replace("-", "_") for flag in listed]


class TestOneField:
    """The names of fields, options and flags."""

    @pytest.fixture(autouse=True)
    def wide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "160")

    def test_the_options_of_python_are_the_fields(self) -> None:
        assert list(get_type_hints(DataOptions)) == DATA
        assert set(get_type_hints(PruneOptions)) == {*PRUNE, *DATA}
        assert len(PRUNE) + len(DATA) == len({*PRUNE, *DATA}), "a name in both is read by one only"
        assert set(get_type_hints(RecoveryOptions)) == {*PRUNE, *TUNE, *DATA}
        assert {*PRUNE} & {*TUNE} == {"seed"}
        assert set(get_type_hints(RunOptions)) == {*PRUNE, *TUNE, *DATA, *LOOP}
        assert not {*LOOP} & {*PRUNE, *TUNE, *DATA}

    def test_they_have_the_types_of_the_fields(self) -> None:
        assert get_type_hints(DataOptions) == get_type_hints(DataConfig)
        assert get_type_hints(PruneOptions) == get_type_hints(PruneConfig) | get_type_hints(
            DataConfig
        )

    def test_no_option_is_required(self) -> None:
        assert DataOptions.__required_keys__ == PruneOptions.__required_keys__ == frozenset()

    def test_the_flags_of_the_default_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        listed = flags("", capsys)
        assert len(listed) == len(set(listed))
        assert set(listed) == {*PRUNE, *TUNE, *DATA, *LOOP} | COMMAND[""] | EVERYWHERE | {
            "help",
            "version",
        }

    @pytest.mark.parametrize("command", ["apply", "inspect", "compare", "sensitivity"])
    def test_the_flags_of_the_other_commands(
        self, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        listed = set(flags(command, capsys)) - {"help", "version"}
        assert listed == {*DATA} | COMMAND[command] | EVERYWHERE

    def test_the_flags_of_fine_tuning(self, capsys: pytest.CaptureFixture[str]) -> None:
        listed = set(flags("finetune", capsys)) - {"help", "version"}
        assert listed == {*TUNE, *DATA} | COMMAND["finetune"] | EVERYWHERE

    @pytest.mark.parametrize("kind", [DataConfig, PruneConfig, TuneConfig])
    def test_every_field_is_documented(self, kind: type[Any]) -> None:
        documented = re.findall(r"^        (\w+): \S", kind.__doc__ or "", flags=re.MULTILINE)
        assert documented == [field.name for field in dataclasses.fields(kind)]


class TestDefaults:
    """What nobody asked for."""

    def test_of_data(self) -> None:
        assert dataclasses.asdict(DataConfig()) == {
            "image_size": None,
            "crop": None,
            "mean": None,
            "std": None,
            "scale": None,
            "preprocessor": None,
            "layout": "auto",
            "color": "auto",
            "samples": None,
            "skip_bad": False,
            "batch_size": 64,
            "threads": 0,
        }

    def test_of_pruning(self) -> None:
        assert dataclasses.asdict(PruneConfig(macs=0.5)) == {
            "ratio": None,
            "macs": 0.5,
            "params": None,
            "size": None,
            "latency": None,
            "max_drop": None,
            "below_std": None,
            "criterion": "reconstruction",
            "scope": "global",
            "allocate": "auto",
            "compensate": "auto",
            "refresh": 1,
            "weights": None,
            "pattern": None,
            "lossless": False,
            "reduce": "mean",
            "normalize": "layer-mean",
            "align": "auto",
            "min_channels": 1,
            "max_layer_ratio": 0.9,
            "include": (),
            "exclude": (),
            "finetune": False,
            "seed": 0,
        }

    def test_a_configuration_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            DataConfig().samples = 3  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            PruneConfig(macs=0.5).seed = 3  # type: ignore[misc]


class TestBudgets:
    """What is asked for."""

    def test_none_is_a_configuration_too(self) -> None:
        assert PruneConfig().budgets == {}
        assert not PruneConfig(criterion="l1", min_channels=3).asks

    @pytest.mark.parametrize(
        "options",
        [{"ratio": 0.0}, {"macs": 0.5}, {"params": "500k"}, {"size": "8MB"}, {"latency": "12ms"},
         {"max_drop": 0.0}, {"macs": 0.5, "latency": 0.7, "max_drop": 0.01}],
    )  # fmt: skip
    def test_they_go_by_the_names_of_their_flags(self, options: dict[str, Any]) -> None:
        found = PruneConfig(**options)
        assert found.asks
        assert found.budgets == {f"--{k.replace('_', '-')}": v for k, v in options.items()}

    @pytest.mark.parametrize("deviations", [1.0, 0.0, -0.5])
    def test_the_rule_needs_none(self, deviations: float) -> None:
        found = PruneConfig(below_std=deviations)
        assert found.asks
        assert found.budgets == {}


class TestSplitting:
    """`recovery_configs` and `data_config`."""

    def test_every_option_finds_its_configuration(self) -> None:
        pruning, tuning, reading = recovery_configs(
            {"macs": "1.2G", "samples": 7, "seed": 3, "scale": 2.0}
        )
        assert tuning is None
        assert pruning == PruneConfig(macs="1.2G", seed=3)
        assert reading == DataConfig(samples=7, scale=2.0)
        assert data_config({"threads": 2}) == DataConfig(threads=2)

    def test_an_unknown_option_is_named_with_those_there_are(self) -> None:
        with pytest.raises(UsageError) as caught:
            data_config({"sampels": 7})  # type: ignore[typeddict-unknown-key]
        assert str(caught.value) == f"unknown option 'sampels'; there are {', '.join(sorted(DATA))}"

    def test_of_prune_too(self) -> None:
        with pytest.raises(UsageError) as caught:
            recovery_configs({"macs": 0.5, "criterium": "l1"})  # type: ignore[typeddict-unknown-key]
        message = str(caught.value)
        assert message.startswith("unknown option 'criterium'; there are ")
        assert "criterion" in message.partition(";")[2]
        assert "samples" in message.partition(";")[2]

    def test_a_misspelt_budget_is_the_thing_to_say(self) -> None:
        with pytest.raises(UsageError, match="unknown option 'mac'"):
            recovery_configs({"mac": 0.5})  # type: ignore[typeddict-unknown-key]


NAN, INF = float("nan"), float("inf")


class TestRefusals:
    """Every value that makes no sense, with a line that says which and what would."""

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"image_size": (0, 28)}, "--image-size"),
            ({"image_size": (28, -1)}, "--image-size"),
            ({"mean": ()}, "--mean"),
            ({"std": ()}, "--std"),
            ({"std": (1.0, 0.0, 1.0)}, "--std"),
            ({"crop": 0.0}, "--crop 0.0"),
            ({"crop": -0.5}, "--crop -0.5"),
            ({"crop": 1.01}, "--crop 1.01"),
            ({"crop": NAN}, "--crop nan"),
            ({"samples": 0}, "--samples"),
            ({"samples": -5}, "--samples"),
            ({"batch_size": 0}, "--batch-size"),
            ({"batch_size": -1}, "--batch-size"),
            ({"threads": -1}, "--threads"),
            ({"scale": NAN}, "--scale"),
            ({"scale": INF}, "--scale"),
            ({"mean": (NAN,)}, "--mean"),
            ({"std": (INF,)}, "--std"),
            ({"layout": "chw"}, "--layout"),
            ({"color": "grey"}, "--color"),
        ],
    )
    def test_of_data(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError) as caught:
            DataConfig(**options)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"ratio": 1.0}, "--ratio 1.0"),
            ({"ratio": 1.5}, "--ratio 1.5"),
            ({"ratio": -0.1}, "--ratio -0.1"),
            ({"ratio": NAN}, "--ratio nan"),
            ({"ratio": 0.5, "min_channels": 0}, "--min-channels 0"),
            ({"ratio": 0.5, "min_channels": -3}, "--min-channels -3"),
            (
                {"ratio": 0.5, "max_layer_ratio": 0.4},
                "--ratio 0.5 contradicts --max-layer-ratio 0.4",
            ),
            ({"ratio": 0.95}, "--ratio 0.95 contradicts --max-layer-ratio 0.9"),
            ({"ratio": 0.5, "max_layer_ratio": 1.1}, "--max-layer-ratio 1.1"),
            ({"ratio": 0.5, "max_layer_ratio": -0.1}, "--max-layer-ratio -0.1"),
            ({"ratio": 0.5, "max_layer_ratio": NAN}, "--max-layer-ratio nan"),
            ({"ratio": 0.5, "criterion": "weights"}, "--criterion weights"),
            ({"ratio": 0.5, "allocate": "evenly"}, "--allocate evenly"),
            ({"ratio": 0.5, "reduce": "min"}, "--reduce min"),
            ({"max_drop": -0.01}, "--max-drop -0.01"),
            ({"max_drop": NAN}, "--max-drop nan"),
            ({"max_drop": INF}, "--max-drop inf"),
            ({"below_std": NAN}, "--below-std nan"),
            ({"below_std": INF}, "--below-std inf"),
            ({"below_std": 1.0, "allocate": "sensitivity"}, "--allocate sensitivity"),
            ({"below_std": 1.0, "criterion": "auto"}, "--criterion auto"),
            ({"weights": 0}, "--weights 0: is the share"),
            ({"weights": 1.0}, "--weights 1.0: is the share"),
            ({"weights": 1.5}, "--weights 1.5: is the share"),
            ({"weights": -0.1}, "--weights -0.1: is the share"),
            ({"weights": NAN}, "--weights nan: is the share"),
            ({"pattern": "2:5:1"}, "--pattern 2:5:1: give N:M"),
            ({"pattern": "4:2"}, "--pattern 4:2: give N:M"),
            ({"pattern": "0:2"}, "--pattern 0:2: give N:M"),
            ({"weights": 0.5, "pattern": "2:4"}, "--weights 0.5 and --pattern 2:4 contradict"),
            ({"weights": 0.5, "macs": 0.5}, "--weights 0.5 and --macs 0.5 contradict"),
            ({"pattern": "2:4", "lossless": True}, "--pattern 2:4 and --lossless contradict"),
            ({"weights": 0.5, "criterion": "apoz"}, "--weights 0.5 and --criterion apoz"),
            ({"ratio": 0.5, "scope": "gobal"}, "--scope gobal"),
            ({"ratio": 0.5, "normalize": "mean"}, "--normalize mean"),
            ({"ratio": 0.5, "seed": -1}, "--seed -1"),
        ],
    )
    def test_of_pruning(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError) as caught:
            PruneConfig(**options)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"mean": 0.5}, "--mean 0.5: give a list of numbers"),
            ({"mean": "0.5"}, "--mean 0.5: give a list of numbers"),
            ({"std": ("a",)}, "--std ('a',): give a list of numbers"),
            ({"std": [True]}, "--std (True,): give a list of numbers"),
            ({"scale": "1"}, "--scale 1: give a number"),
            ({"crop": "half"}, "--crop half: give a number"),
            ({"preprocessor": 3}, "--preprocessor 3: give a text"),
            ({"skip_bad": 1}, "--skip-bad 1: give true or false"),
            ({"skip_bad": None}, "--skip-bad None: give true or false"),
            ({"skip_bad": "yes"}, "--skip-bad yes: give true or false"),
            ({"image_size": 28}, "--image-size 28: give a list of whole numbers"),
            ({"image_size": [28]}, "--image-size (28,): give a list of whole numbers"),
            ({"image_size": (1, 2, 3)}, "--image-size (1, 2, 3): give a list of whole numbers"),
            ({"image_size": (28.0, 28)}, "--image-size (28.0, 28): give a list of whole numbers"),
            ({"layout": 1}, "--layout 1: give one of auto, nchw, nhwc"),
            ({"samples": 2.5}, "--samples 2.5: give a whole number"),
            ({"samples": "3"}, "--samples 3: give a whole number"),
            ({"samples": True}, "--samples True: give a whole number"),
            ({"batch_size": 2.5}, "--batch-size 2.5: give a whole number"),
            ({"batch_size": None}, "--batch-size None: give a whole number"),
            ({"threads": "1"}, "--threads 1: give a whole number"),
        ],
        ids=str,
    )
    def test_of_data_of_a_wrong_type(self, options: dict[str, Any], message: str) -> None:
        makers: list[Callable[..., object]] = [
            DataConfig,
            lambda **given: data_config(given),  # type: ignore[arg-type]
        ]
        for make in makers:
            with pytest.raises(UsageError) as caught:
                make(**options)
            assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ratio": "0.5"}, "--ratio 0.5: give a number"),
            ({"ratio": True}, "--ratio True: give a number"),
            ({"macs": (1,)}, "--macs (1,): give a number or a text"),
            ({"params": True}, "--params True: give a number or a text"),
            (
                {"criterion": None},
                "--criterion None: give one of aaws, abs, apoz, bn-scale, fpgm, l1, l2, mean, "
                "random, reconstruction, std, taylor, weight-activation, auto",
            ),
            ({"size": [8]}, "--size (8,): give a number or a text"),
            ({"latency": True}, "--latency True: give a number or a text"),
            ({"max_drop": "0.01"}, "--max-drop 0.01: give a number"),
            ({"below_std": "1"}, "--below-std 1: give a number"),
            ({"align": 2.5}, "--align 2.5: give a text or a whole number"),
            ({"min_channels": 2.5}, "--min-channels 2.5: give a whole number"),
            ({"min_channels": "2"}, "--min-channels 2: give a whole number"),
            ({"max_layer_ratio": "0.5"}, "--max-layer-ratio 0.5: give a number"),
            ({"include": "conv*"}, "--include conv*: give a list of texts"),
            ({"include": (1,)}, "--include (1,): give a list of texts"),
            ({"exclude": None}, "--exclude None: give a list of texts"),
            ({"seed": "a"}, "--seed a: give a whole number"),
            ({"seed": 1.0}, "--seed 1.0: give a whole number"),
        ],
        ids=str,
    )
    def test_of_pruning_of_a_wrong_type(self, options: dict[str, Any], message: str) -> None:
        given: dict[str, Any] = {"macs": 0.5, **options}
        makers: list[Callable[..., object]] = [
            PruneConfig,
            lambda **given: recovery_configs(given),  # type: ignore[arg-type]
        ]
        for make in makers:
            with pytest.raises(UsageError) as caught:
                make(**given)
            assert str(caught.value) == message

    def test_lists_will_do(self) -> None:
        options: Any = {
            "macs": 0.5, "image_size": [28, 30], "mean": [0.5, 1], "std": [2], "include": ["a*"],
            "exclude": [],
        }  # fmt: skip
        pruning, _, reading = recovery_configs(options)
        assert pruning == PruneConfig(macs=0.5, include=("a*",), exclude=())
        assert reading == DataConfig(image_size=(28, 30), mean=(0.5, 1), std=(2,))
        assert (type(pruning.include), type(reading.mean)) == (tuple, tuple)
        assert options["mean"] == [0.5, 1]

    def test_paths_will_do_for_texts(self) -> None:
        given: Any = Path("some", "preprocessor_config.json")
        assert DataConfig(preprocessor=given).preprocessor == str(given)

    def test_whole_numbers_are_numbers_too(self) -> None:
        assert PruneConfig(ratio=0, macs=1, params=5000, align=8, max_layer_ratio=1).macs == 1
        assert DataConfig(scale=1, mean=(0,), std=(1,)).scale == 1

    @pytest.mark.parametrize("option", ["include", "exclude"])
    def test_one_glob_is_no_list_of_its_letters(self, option: str) -> None:
        """A bare string would be read letter by letter, and `*` alone matches everything."""
        options: Any = {"macs": 0.5, option: "conv*"}
        try:
            pruning, *_ = recovery_configs(options)
        except UsageError as error:
            assert f"--{option}" in str(error)  # noqa: PT017 - either answer will do
        else:
            assert getattr(pruning, option) == ("conv*",)

    def test_the_edges_are_allowed(self) -> None:
        assert PruneConfig(ratio=0.0, max_layer_ratio=0.0, min_channels=1).ratio == 0.0
        assert PruneConfig(ratio=0.999, max_layer_ratio=1.0).max_layer_ratio == 1.0
        assert DataConfig(image_size=(1, 1), samples=1, batch_size=1, threads=0).samples == 1
        assert DataConfig(std=(-1.0,), crop=1.0).std == (-1.0,)
