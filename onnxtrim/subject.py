"""A model made ready: loaded, normalised, analysed, with its data and its costs."""

import os
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from onnxtrim.calibration import (
    Dataset,
    DataSource,
    InputSpec,
    first_batch,
    input_specs,
    made_up_inputs,
    open_data,
)
from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError
from onnxtrim.graph import ModelSource, load, model_digest, normalize
from onnxtrim.graph.edit import initializers
from onnxtrim.graph.interface import same_interface
from onnxtrim.graph.runtime import Arrays
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.report import ModelFacts
from onnxtrim.selection import CostModel

__all__ = ["Subject", "file_bytes", "prepare"]

_PROOF_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything the stages need to know of a model before they decide anything.

    Attributes:
        sources: the files it was read from.
        facts: its name, digest, and the input sizes that costs are counted for.
        bytes: size of the file, external weights included.
        model: the normalised model.
        channel_map: its groups.
        specs: its inputs.
        data: the calibration data, if any.
        costs: its cost model for one sample.
        proof_inputs: a few samples, made up where there is no data, for verification.
        proof_samples: how many those are; 0 where they are made up.
        single_input: one sample (one batch where the model fixes it), for latency.
    """

    sources: tuple[Path, ...]
    facts: ModelFacts
    bytes: int
    model: ir.Model
    channel_map: ChannelMap
    specs: list[InputSpec]
    data: Dataset | None
    costs: CostModel
    proof_inputs: Arrays
    proof_samples: int
    single_input: Arrays


def prepare(
    source: ModelSource,
    data: DataSource | None,
    config: DataConfig,
    beside: Subject | None = None,
) -> Subject:
    """Returns the model in `source` made ready, with `data` opened if there is any.

    Args:
        source: the model.
        data: the calibration data.
        config: how they are read.
        beside: a subject that it must have one interface with; data are not opened twice.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
        UsageError: an option contradicts the model.
    """
    original = load(source)
    model = normalize(original)
    specs = input_specs(model)
    if beside is not None:
        _require_one_interface(beside, model, _name(source))
        dataset = beside.data
    else:
        dataset = None if data is None else open_data(data, specs, config)
    if dataset is None:
        proof, samples = made_up_inputs(model, specs, _PROOF_SAMPLES), 0
        single = made_up_inputs(model, specs, 1)
    else:
        proof, samples = first_batch(dataset, specs, _PROOF_SAMPLES)
        single, _ = first_batch(dataset, specs, 1)
    sizes = {name: tuple(array.shape) for name, array in single.items()}
    return Subject(
        sources=_sources(source, original),
        facts=ModelFacts(_name(source), model_digest(source), sizes),
        bytes=file_bytes(source, original),
        model=model,
        channel_map=analyze(model),
        specs=specs,
        data=dataset,
        costs=CostModel(model, concrete_shapes(model, single)),
        proof_inputs=proof,
        proof_samples=samples,
        single_input=single,
    )


def _require_one_interface(subject: Subject, model: ir.Model, name: str) -> None:
    """Raises DataError where two models have different inputs or outputs."""
    if not same_interface(subject.model, model):
        raise DataError(
            f"{subject.facts.name} and {name} have different inputs or outputs; compare models of "
            "one interface"
        )


def file_bytes(source: ModelSource, model: ir.Model) -> int:
    """Returns the bytes a model takes on disk, external weights included."""
    beside = sum(path.stat().st_size for path in _external_files(model))
    if isinstance(source, str | os.PathLike):
        return Path(source).stat().st_size + beside
    if isinstance(source, bytes):
        return len(source)
    return int(ir.to_proto(model).ByteSize()) + beside


def _sources(source: ModelSource, model: ir.Model) -> tuple[Path, ...]:
    """Returns the files that a model was read from, those of its weights included."""
    own = [Path(source)] if isinstance(source, str | os.PathLike) else []
    return *own, *_external_files(model)


def _external_files(model: ir.Model) -> list[Path]:
    """Returns the files that hold external weights of a model."""
    tensors = (value.const_value for value in initializers(model))
    return sorted({Path(t.path) for t in tensors if isinstance(t, ir.ExternalTensor)})


def _name(source: ModelSource) -> str:
    """Returns the file name of a model, or `model` where it has none."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "model"
