"""What the learner of a twin is taught, where it is only a part of the student.

It is fed prompts beside its inputs, and a cut has a target as an output has, what the teacher has
there. All cuts together count as much as the outputs. Where no output of the student is one of the
learner, the cuts are all there is to learn.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from onnxtrim.finetune.goals import relative
from onnxtrim.finetune.lessons import Lessons, Prompter, Teacher
from onnxtrim.finetune.losses import Goal, OwnLoss
from onnxtrim.finetune.twin import Twin
from onnxtrim.graph.edit import with_outputs

__all__ = ["Task", "learners_task"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is learned.

    Attributes:
        goals: what outputs are to become.
        lessons: what to learn from.
        exam: what says how well.
    """

    goals: tuple[Goal | OwnLoss, ...]
    lessons: Lessons
    exam: Lessons


def learners_task(
    twin: Twin, task: Task, teacher: ir.Model | None, folder: Path, threads: int
) -> Task:
    """Returns the task of a twin's learner.

    Args:
        twin: of a student whose outputs the goals are about.
        task: of the student.
        teacher: who has the same outputs, and the forced tensors; None where there is none, and
            all goals take labels.
        folder: takes what the teacher answers.
        threads: threads of the runtime; 0 lets it choose.
    """
    if not twin.parted:
        return task
    outputs = {str(value.name) for value in twin.learner.graph.outputs}
    goals = [goal for goal in task.goals if outputs.issuperset(goal.outputs)]
    learned = {name for goal in goals for name in goal.outputs}
    cuts = [cut.tensor for cut in twin.cuts if cut.tensor not in learned]
    beside = [Goal(tensor, "mse", weight=1 / len(cuts)) for tensor in cuts]
    knows, prompter = None, None
    labelled = all(goal.labelled for goal in goals)
    if teacher is not None and (twin.forced or not labelled):
        knows = Teacher(with_outputs(teacher, twin.forced), folder, threads)
    if twin.prompter is not None:
        prompter = Prompter(twin.prompter, twin.forced, folder, threads)
    at_cuts = task.exam.taught(beside, knows, None)
    goals += relative(beside, (arrays for arrays, _ in at_cuts.epoch()))
    lessons, exam = (each.taught(goals, knows, prompter) for each in (task.lessons, task.exam))
    return Task(tuple(goals), lessons, exam)
