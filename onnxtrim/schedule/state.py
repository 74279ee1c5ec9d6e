"""What a run of several steps has come to, kept in a folder after every step.

    state.json      all but the model, and the name of the file that holds it
    step-003.onnx   the model that the next step begins with

The model is written first and `state.json` last, whole or not at all: a run that is killed at any
point is found as it was after a step. Models of earlier steps are removed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from onnxtrim.errors import LoadError, OutputError, UsageError
from onnxtrim.execute import PruneResult
from onnxtrim.graph import load, normalize, save
from onnxtrim.graph.save import atomic_write, check_writable
from onnxtrim.report import Step, to_json
from onnxtrim.report.from_json import from_json, value_of
from onnxtrim.selection import PrunePlan
from onnxtrim.subject import Subject

__all__ = ["Folder", "State"]

SCHEMA = "onnxtrim.state/1"
_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class State:
    """What a run has come to.

    Attributes:
        model: what the next step begins with.
        best: the result of the last step that was accepted; None before there was one.
        rows: one for each step, whether or not it was accepted.
        done: how many steps were taken.
        trained: whether what comes before the first step was done.
        front: the groups that `spreading` has reached.
        ended: why no step follows; empty while one may.
        interrupted: whether Ctrl-C has ended it.
    """

    model: ir.Model
    best: PruneResult | None = None
    rows: tuple[Step, ...] = ()
    done: int = 0
    trained: bool = False
    front: tuple[str, ...] = ()
    ended: str = ""
    interrupted: bool = False

    def plan(self, first: Subject) -> PrunePlan:
        """Returns what earlier steps removed of the original."""
        return PrunePlan(first.facts.sha256) if self.best is None else self.best.plan


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the states of a run are kept.

    Attributes:
        path: the folder.
        identity: what the run is: the model, the data, the options. Another run is refused.
    """

    path: Path
    identity: Mapping[str, object] = field(default_factory=dict)

    def begun(self, first: Subject, *, resume: bool) -> State:
        """Returns the state to begin with: that which was kept, if the run shall be resumed.

        Raises:
            UsageError: there is a run already that shall not be resumed, or another one.
            LoadError: what was kept cannot be read.
        """
        path = self.path / _FILE
        if not path.exists():
            return State(first.model)
        if not resume:
            raise UsageError(
                f"--workdir {self.path}: holds a run already; give --resume to go on with it, or "
                "another folder"
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise ValueError(f"its schema is {document['schema']!r}")
            self._check_identity(document["identity"])
            return self._read(document, first)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise LoadError(f"{path}: cannot be read ({reason}); give another folder") from error

    def make(self) -> None:
        """Makes the folder, before there is work to lose.

        Raises:
            OutputError: it cannot be made, or not be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"--workdir {self.path}: cannot be made ({reason}); name another folder"
            ) from error
        check_writable(self.path / _FILE)

    def keep(self, state: State) -> None:
        """Writes a state; it is there as a whole, or the last one still is.

        Raises:
            OutputError: it cannot be written.
        """
        self.make()
        model = save(state.model, self.path / f"step-{state.done:03}.onnx")
        best = state.best
        document = {
            "schema": SCHEMA,
            "identity": dict(self.identity),
            "model": model.name,
            "rows": [asdict(row) for row in state.rows],
            "done": state.done,
            "trained": state.trained,
            "front": list(state.front),
            "ended": state.ended,
            "plan": None if best is None else json.loads(best.plan.to_json()),
            "report": None if best is None else json.loads(to_json(best.report)),
        }
        atomic_write(self.path / _FILE, json.dumps(document, indent=1) + "\n")
        for old in self.path.glob("step-*.onnx*"):
            if not old.name.startswith(model.name):
                old.unlink()

    def _read(self, document: dict[str, Any], first: Subject) -> State:
        """Returns the state in a document."""
        model = normalize(load(self.path / document["model"]))
        best = None
        if document["plan"] is not None:
            plan = PrunePlan.from_json(json.dumps(document["plan"]))
            report = from_json(json.dumps(document["report"]))
            best = PruneResult(model, plan, report, first.sources)
        return State(
            model=model,
            best=best,
            rows=tuple(value_of(Step, row) for row in document["rows"]),
            done=document["done"],
            trained=document["trained"],
            front=tuple(document["front"]),
            ended=document["ended"],
        )

    def _check_identity(self, kept: Mapping[str, object]) -> None:
        """Raises UsageError where another run was kept."""
        now = json.loads(json.dumps(dict(self.identity)))
        for name in sorted({*kept, *now}):
            if kept.get(name) != now.get(name):
                raise UsageError(
                    f"--resume: the run in {self.path} had {name} {kept.get(name)}, and this one "
                    f"has {now.get(name)}; give what it had, or another --workdir"
                )
