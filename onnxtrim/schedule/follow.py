"""A run as it was asked for: checked, begun or resumed, followed to its end."""

import os
from dataclasses import asdict, replace
from pathlib import Path

from onnxtrim.calibration import Progress
from onnxtrim.channels import ChannelMap
from onnxtrim.checks import require_data, require_groups, require_lessons, restricted
from onnxtrim.clock import Clock
from onnxtrim.config import DEFAULT_DROP, PruneConfig
from onnxtrim.errors import OutputError, UsageError
from onnxtrim.execute import PruneResult, execute, job_of
from onnxtrim.recover import Recovery
from onnxtrim.schedule.config import RunConfig
from onnxtrim.schedule.course import Run
from onnxtrim.schedule.loop import looped
from onnxtrim.schedule.state import Folder, State
from onnxtrim.search import decide, judge_of
from onnxtrim.sparsify import sparse_job, sparsify
from onnxtrim.subject import Subject

__all__ = ["followed", "groups_of", "require_folder", "require_run", "settings_of", "workplace"]

_NO_MATTER = ("threads", "finetune")
"""Options that a run may be resumed with other values of, or that are told by others."""


def require_run(config: RunConfig, *, data: bool, train_data: bool) -> RunConfig:
    """Returns the options of a run, with the budget that it has where none is given.

    Args:
        config: what is asked for.
        data: whether there are calibration data.
        train_data: whether there are samples to learn from.

    Raises:
        UsageError: an option takes data, and there are none.
    """
    pruning = config.pruning
    require_lessons(pruning, data=data, train_data=train_data)
    if not data:
        require_data(pruning)
    if pruning.asks:
        return config
    return replace(config, pruning=replace(pruning, max_drop=DEFAULT_DROP))


def require_folder(workdir: str | os.PathLike[str] | None, *, resume: bool) -> Path | None:
    """Returns the folder that a run is kept in; None for none.

    Raises:
        UsageError: there is nothing to resume.
        OutputError: it cannot be a folder.
    """
    if workdir is None:
        if resume:
            raise UsageError("--resume goes on with the run in a folder; give --workdir, too")
        return None
    path = Path(workdir)
    if path.exists() and not path.is_dir():
        raise OutputError(f"--workdir {path}: is a file; name a folder")
    return path


def groups_of(subject: Subject, config: PruneConfig) -> ChannelMap:
    """Returns the groups of a model, as far as they may be cut.

    Raises:
        UsageError: a glob matches nothing.
        BudgetError: nothing can be cut at all.
    """
    if config.sparse:  # no channel goes, and globs name weights
        return subject.channel_map
    channel_map = restricted(subject.channel_map, config)
    require_groups(channel_map)
    return channel_map


def settings_of(config: RunConfig, recipe: str | None) -> dict[str, object]:
    """Returns every option of a run but those of tuning, as the report has them."""
    loop = asdict(config.loop)
    return {**asdict(config.pruning), **asdict(config.reading), **loop, "recipe": recipe}


def workplace(
    workdir: Path | None, first: Subject, config: RunConfig, recovery: Recovery | None
) -> Folder | None:
    """Returns where the states of a run are kept; None for nowhere."""
    if workdir is None:
        return None
    options: dict[str, object] = {}
    for part in (config.pruning, config.reading, config.loop, config.tuning):
        options |= {} if part is None else asdict(part)
    identity: dict[str, object] = {
        "model": first.facts.sha256,
        "data": None if first.data is None else first.data.fingerprint,
        "training data": None if recovery is None else recovery.data.fingerprint,
    }
    identity |= {
        f"--{name.replace('_', '-')}": value
        for name, value in options.items()
        if name not in _NO_MATTER
    }
    return Folder(workdir, identity)


def followed(
    run: Run, folder: Folder | None, clock: Clock, progress: Progress | None, *, resume: bool
) -> PruneResult:
    """Returns the result of a run: what was kept of it, and what was missing.

    Args:
        run: what was asked for.
        folder: where its states are kept, if anywhere.
        clock: of the stages.
        progress: called with (what, done, total).
        resume: whether a run that was kept is gone on with.

    Raises:
        UsageError: the folder holds another run, or one that shall not be resumed.
        BudgetError: no plan meets the budget, or not even the first step was accepted.
        VerificationError: a result could not be proven; it carries a reproducer.
    """
    state, keep = State(run.first.model), _forget
    if folder is not None:
        state, keep = folder.begun(run.first, resume=resume), folder.keep
        folder.make()
    if run.config.loop.loops:
        return looped(run, state, keep, clock, progress)
    if state.best is not None:
        return state.best
    result = _once(run, clock, progress)
    if result.untuned is None and not result.interrupted:
        rows = result.report.steps
        keep(State(result.model, result, rows, done=1, ended="there was one step"))
    return result


def _once(run: Run, clock: Clock, progress: Progress | None) -> PruneResult:
    """Returns the result of one step."""
    first, channel_map, config = run.first, run.channel_map, run.config
    pruning, reading = config.pruning, config.reading
    if pruning.sparse:
        judge = judge_of(first, first.data, run.metric, reading)
        sparse = sparse_job(first, reading, run.settings, judge, run.recovery)
        return sparsify(sparse, pruning, clock, progress)
    decision = decide(first, channel_map, pruning, reading, run.metric, clock, progress)
    job = job_of(first, channel_map, decision, pruning, reading, run.settings)
    return execute(replace(job, recovery=run.recovery), clock, progress)


def _forget(state: State) -> None:
    """Keeps nothing."""
