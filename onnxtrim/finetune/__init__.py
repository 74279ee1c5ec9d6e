"""Fine-tuning: a student learns in a process of the training build of ONNX Runtime.

config                      what can be asked for
tune                        all of it in order, and `result`, what comes of it
study                       what is learned and how well: an aim, lessons and an exam
goals, losses/              what each output is to become, and the loss as a graph
lessons, augment            batches with their targets, changed images
twin/                       the student in operators that have a gradient, cut where it must be
learner                     what is taught where it was cut
course, schedule            epochs and looks, rates; `interrupt`: Ctrl-C
artifacts, scratch          files that are kept, and that are not
runtime/                    where the training build is, and how its process is talked to
worker/                     what runs in that process; it shares no code with the rest
"""

from onnxtrim.finetune.runtime.find import TrainingRuntime, find_runtime, training_home
from onnxtrim.finetune.runtime.setup import TrainingSetup, setup_training

__all__ = [
    "TrainingRuntime",
    "TrainingSetup",
    "find_runtime",
    "setup_training",
    "training_home",
]
