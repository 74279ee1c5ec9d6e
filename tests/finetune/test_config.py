"""The options of fine-tuning."""

from dataclasses import fields
from typing import Any

import pytest

from onnxtrim.config import DataConfig
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import TuneConfig, TuneOptions, tune_configs


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
        ({"weight_decay": -1}, "--weight-decay -1: 0 or more, and below 1 divided by --lr"),
        ({"weight_decay": 1000}, "--weight-decay 1000: 0 or more, and below 1 divided by --lr"),
        ({"loss": "hinge"}, "--loss hinge: give one of auto, ce, distill, mse, l1"),
        ({"epochs": 1.5}, "--epochs 1.5: give a whole number"),
        ({"bn": "train"}, "--bn train: give one of frozen"),
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
