"""Fine-tuning: the training build of ONNX Runtime, in a process of its own."""

from onnxtrim.finetune.runtime import TrainingRuntime, find_runtime, training_home
from onnxtrim.finetune.setup import TrainingSetup, setup_training

__all__ = [
    "TrainingRuntime",
    "TrainingSetup",
    "find_runtime",
    "setup_training",
    "training_home",
]
