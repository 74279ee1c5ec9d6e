"""What flows through it: data sources, taps, streaming statistics, metrics, latency."""

from onnxtrim.calibration.dataset import Batch, Dataset, InputSpec, skipped
from onnxtrim.calibration.evaluate import Evaluation, Judge, Metric, MetricFunction
from onnxtrim.calibration.feeding import batch_size, first_batch, input_specs
from onnxtrim.calibration.held_out import split
from onnxtrim.calibration.latency import Latency, LatencyPair, paired_latency
from onnxtrim.calibration.made_up import made_up_inputs
from onnxtrim.calibration.measure import Progress, measure
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.own_metric import metric_function
from onnxtrim.calibration.source import DataSource, open_data

__all__ = [
    "Batch",
    "DataSource",
    "Dataset",
    "Evaluation",
    "InputSpec",
    "Judge",
    "Latency",
    "LatencyPair",
    "Measurements",
    "Metric",
    "MetricFunction",
    "Progress",
    "Statistic",
    "batch_size",
    "first_batch",
    "input_specs",
    "made_up_inputs",
    "measure",
    "metric_function",
    "open_data",
    "paired_latency",
    "skipped",
    "split",
]
