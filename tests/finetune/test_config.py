"""The options of fine-tuning."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import TuneConfig, TuneOptions, recovery_configs, tune_configs

LOSSES = "--loss {}: give one of auto, ce, distill, ce+distill, mse, l1, bce, or FILE.py:NAME"
DECAY = "--weight-decay {}: 0 or more, and below 1 divided by --lr, which is {}"
WEIGHTS = "--output-weight {}: give NAME=WEIGHT, a finite figure of 0 or more"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"epochs": 0}, "--epochs 0: 1 or more"),
        ({"patience": 0}, "--patience 0: 1 or more"),
        ({"seed": -1}, "--seed -1: 0 or more"),
        ({"lr": 0.0}, "--lr 0.0: a finite figure above 0"),
        ({"lr": float("inf")}, "--lr inf: a finite figure above 0"),
        ({"temperature": -1.0}, "--temperature -1.0: a finite figure above 0"),
        ({"warmup": 1.0}, "--warmup 1.0: is a share of the steps, from 0 to below 1"),
        ({"weight_decay": -1}, DECAY.format(-1, "0.001")),
        ({"weight_decay": 1000}, DECAY.format(1000, "0.001")),
        ({"lr": 200}, DECAY.format(0.01, 200)),
        ({"loss": "hinge"}, LOSSES.format("hinge")),
        ({"loss": "losses.py:"}, LOSSES.format("losses.py:")),
        ({"loss": ":Mine"}, LOSSES.format(":Mine")),
        ({"distill_weight": 1.0}, "--distill-weight 1.0: is between 0 and 1"),
        ({"distill_weight": 0.0}, "--distill-weight 0.0: is between 0 and 1"),
        ({"features": -1.0}, "--features -1.0: a finite figure of 0 or more"),
        ({"output_weight": ("y",)}, WEIGHTS.format("y")),
        ({"output_weight": ("=1",)}, WEIGHTS.format("=1")),
        ({"output_weight": ("y=-1",)}, WEIGHTS.format("y=-1")),
        ({"output_weight": ("y=inf",)}, WEIGHTS.format("y=inf")),
        ({"output_weight": ("y=1", "y=2")}, "--output-weight y=2: y has a weight already"),
        ({"epochs": 1.5}, "--epochs 1.5: give a whole number"),
        ({"bn": "live"}, "--bn live: give one of auto, frozen, train"),
        ({"clip": -1}, "--clip -1: a finite figure of 0 or more"),
        ({"accumulate": 0}, "--accumulate 0: 1 or more"),
        ({"augment": "turn"}, "--augment turn: give one of auto, none, flip, crop, flip+crop"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        TuneConfig(**option)
    assert str(caught.value) == sentence


def test_options_go_to_the_configuration_that_they_belong_to() -> None:
    tuning, reading = tune_configs({"epochs": 2, "batch_size": 8})
    assert tuning == TuneConfig(epochs=2)
    assert reading == DataConfig(batch_size=8)
    with pytest.raises(UsageError, match="unknown option 'epoch'"):
        tune_configs({"epoch": 2})  # type: ignore[typeddict-unknown-key]


def test_every_field_is_an_option_and_none_has_the_name_of_one_of_the_data() -> None:
    mine = {field.name for field in fields(TuneConfig)}
    rest = {field.name for field in fields(DataConfig)}
    assert not mine & rest
    assert set(TuneOptions.__annotations__) >= mine


def test_a_seed_and_a_batch_size_are_of_pruning_and_of_tuning() -> None:
    pruning, tuning, reading = recovery_configs(
        {"macs": 0.5, "finetune": True, "seed": 3, "batch_size": 8, "epochs": 2}
    )
    assert pruning == PruneConfig(macs=0.5, finetune=True, seed=3)
    assert tuning == TuneConfig(epochs=2, seed=3)
    assert reading == DataConfig(batch_size=8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 2}, "--epochs 2"),
        ({"weight_decay": 0.5, "lr": 0.1}, "--lr 0.1"),
        ({"keep_zeros": True}, "--keep-zeros True"),
    ],
)
def test_options_of_tuning_are_none_of_pruning_alone(options: dict[str, Any], said: str) -> None:
    """The first one is named, in the order of the fields."""
    with pytest.raises(UsageError) as caught:
        recovery_configs({"macs": 0.5, **options})  # type: ignore[typeddict-item]
    assert str(caught.value) == f"{said}: is of fine-tuning; give --finetune, too"


def test_defaults_of_tuning_do_not_ask_for_it() -> None:
    given: dict[str, Any] = {"macs": 0.5, "epochs": TuneConfig().epochs, "seed": 7}
    assert recovery_configs(given)[1] is None  # type: ignore[arg-type]


def test_an_output_is_weighted_by_its_name_whatever_is_in_it() -> None:
    config = TuneConfig(output_weight=("a=b=0.5", "y=0"))
    assert config.output_weights == {"a=b": 0.5, "y": 0.0}


@pytest.mark.parametrize("loss", ["losses.py:Mine", "package.module:losses.Mine", r"C:\\l.py:M"])
def test_a_loss_may_be_the_name_of_one_of_your_own(loss: str) -> None:
    assert TuneConfig(loss=loss).loss == loss


def test_the_documentation_lists_every_option_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    said = dict(
        re.findall(r"^\| `--([a-z-]+)[^|]*` \| ([^|,]+)[^|]* \|", table, flags=re.MULTILINE)
    )
    for field in fields(TuneConfig):
        option, default = field.name.replace("_", "-"), field.default
        assert option in said
        if isinstance(default, str):
            assert said[option] == f"`{default}`"
        elif isinstance(default, int | float) and not isinstance(default, bool):
            assert float(said[option]) == default
