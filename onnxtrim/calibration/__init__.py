"""What flows through it: data, taps, streaming statistics, metrics, latency."""

from onnxtrim.calibration.data import (
    Batch,
    Dataset,
    DataSource,
    InputSpec,
    batch_size,
    first_batch,
    input_specs,
    made_up_inputs,
    open_data,
    skipped,
    split,
)
from onnxtrim.calibration.evaluate import Evaluation, Judge, Metric, MetricFunction
from onnxtrim.calibration.latency import Latency, LatencyPair, paired_latency
from onnxtrim.calibration.measure import Progress, measure
from onnxtrim.calibration.measurements import Measurements, Statistic
from onnxtrim.calibration.own_metric import metric_function

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
