"""What is made small, as part of the graph: targets are inputs, and the only output is the loss.

For an output y of a model, with a target t of its shape and n = samples:

    cross-entropy    T^2 / n  sum( t (log t - log softmax(y / T)) )     t = softmax(teacher / T),
                                                                        or one-hot and T = 1
    bce              mean( max(y, 0) - y t + log(1 + exp(-|y|)) - H )   t = sigmoid(teacher),
                     H = -t log t - (1 - t) log(1 - t)                  or of labels, 0 and 1
    mse              mean( (y - t)^2 ) / var(teacher)
    l1               mean( |y - t| ) / std(teacher)

    slimming         weight sum over all scales of |scale|            (Liu et al. 2017, 1708.06519)

An own loss is any graph over outputs and targets. The loss is the sum of all, each times its
weight.

T^2 keeps gradients of one size whatever the temperature (Hinton et al. 2015), and t log t makes 0
the best; of one-hot targets it is 0, so that the loss is the cross-entropy with the labels. So is H
in bce. Softmax is over axis 1; all axes after it have one position.
"""

from onnxtrim.finetune.losses.goal import Goal, GoalKind, OwnLoss, Slimming
from onnxtrim.finetune.losses.targets import one_hot, softened, targets_of
from onnxtrim.finetune.losses.terms import with_loss

__all__ = [
    "Goal",
    "GoalKind",
    "OwnLoss",
    "Slimming",
    "one_hot",
    "softened",
    "targets_of",
    "with_loss",
]
