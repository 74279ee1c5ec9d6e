"""Where samples come from: files, folders, arrays, streams -> batches that the model accepts."""

from onnxtrim.calibration.data.dataset import Batch, Dataset, InputSpec, skipped
from onnxtrim.calibration.data.feeding import (
    batch_size,
    first_batch,
    input_specs,
    padded_batches,
)
from onnxtrim.calibration.data.held_out import split
from onnxtrim.calibration.data.made_up import made_up_inputs
from onnxtrim.calibration.data.source import DataSource, open_data

__all__ = [
    "Batch",
    "DataSource",
    "Dataset",
    "InputSpec",
    "batch_size",
    "first_batch",
    "input_specs",
    "made_up_inputs",
    "open_data",
    "padded_batches",
    "skipped",
    "split",
]
