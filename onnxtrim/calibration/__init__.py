"""What flows through it: data sources, taps, streaming statistics, metrics, latency."""

from onnxtrim.calibration.dataset import Batch, Dataset, InputSpec
from onnxtrim.calibration.evaluate import Evaluation, Metric, evaluate_pair
from onnxtrim.calibration.feeding import batch_size, first_batch, input_specs
from onnxtrim.calibration.latency import Latency, LatencyPair, paired_latency
from onnxtrim.calibration.made_up import made_up_inputs
from onnxtrim.calibration.measure import Progress, measure
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.source import DataSource, open_data

__all__ = [
    "Batch",
    "DataSource",
    "Dataset",
    "Evaluation",
    "InputSpec",
    "Latency",
    "LatencyPair",
    "Measurements",
    "Metric",
    "Progress",
    "Statistic",
    "batch_size",
    "evaluate_pair",
    "first_batch",
    "input_specs",
    "made_up_inputs",
    "measure",
    "open_data",
    "paired_latency",
]
