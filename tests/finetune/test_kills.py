"""Runs that end before their time: by signals, a full disk, a reader that leaves, a wild loss.

Each is a command line in a session of its own, on the real training runtime. However it ends, none
of its processes stays, nor a file of its temporary folder, nor a block of shared memory, and beside
the result nothing is written.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxtrim
from onnxtrim.calibration import input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner

resource = pytest.importorskip("resource", reason="these are the signals and limits of Linux")
if not Path("/proc/self/stat").exists():
    pytest.skip("these tests look at processes in /proc", allow_module_level=True)

MODELS = Path(__file__).parents[2] / "models"
LENET, DIGITS = MODELS / "lenet-digits.onnx", MODELS / "digits"
COPIES = 12
"""How often the digits are in the data: an epoch takes a second."""

ROOM = 1 << 16
"""Bytes that are too few for the weights, and enough to say so."""

OPTIONS = {"batch-size": "16", "threads": "1", "epochs": "99", "patience": "99", "lr": "0.001"}


@dataclass(frozen=True)
class Samples:
    """Digits with their labels, as a file, and a model that was cut until it knows few of them."""

    file: Path
    model: Path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("samples")
    onnxtrim.prune(LENET, DIGITS, macs=0.15, criterion="random", threads=1).save(
        folder / "net.onnx"
    )
    specs = input_specs(normalize(load(LENET)))
    batch = next(iter(open_data(DIGITS, specs, DataConfig()).batches(300)))
    assert batch.labels is not None
    images, labels = (np.concatenate([a] * COPIES) for a in (batch.inputs["image"], batch.labels))
    np.savez(folder / "digits.npz", image=images, labels=labels)
    return Samples(folder / "digits.npz", folder / "net.onnx")


class Run:
    """A command line that tunes, and what is left of it."""

    def __init__(self, samples: Samples, folder: Path, options: dict[str, str], home: Path) -> None:
        """Starts it; its standard output goes to a pipe, and its standard error to a file."""
        self._scratch, self._out = folder / "scratch", folder / "out"
        self._scratch.mkdir()
        self._out.mkdir()
        self.result = self._out / "tuned.onnx"
        self._errors = folder / "errors.txt"
        command = [sys.executable, "-m", "onnxtrim", "finetune", str(samples.model)]
        options = {"data": str(samples.file), "output": str(self.result), **OPTIONS, **options}
        command += [word for name, value in options.items() for word in (f"--{name}", value)]
        environment = {"TMPDIR": str(self._scratch), "ONNXTRIM_TRAINING_HOME": str(home)}
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    @property
    def worker(self) -> int:
        """Returns the process that trains."""
        (found,) = (p for p in self._processes() if "onnxtrim_worker.train" in _command(p))
        return found

    def wait_for_looks(self, count: int) -> None:
        """Waits until the best weights were saved so often, those at the start not counted.

        Then it waits a little more, so that it is in the midst of an epoch.
        """
        seen = set[int]()

        def enough() -> bool:
            seen.update(path.stat().st_ino for path in self._scratch.glob("*/best.npz"))
            return len(seen) > count

        self._wait(enough)
        time.sleep(0.2)

    def wait_for_worker(self) -> None:
        """Waits until there is a process that trains."""
        self._wait(lambda: any("onnxtrim_worker.train" in _command(p) for p in self._processes()))

    def ended(self) -> tuple[int, str, str]:
        """Returns the exit status, and what was written to standard output and standard error."""
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output, self._errors.read_text()

    def check_clean(self, *, result: bool) -> None:
        """Sees that nothing stays but the result, if there is to be one."""
        _until(lambda: not self._processes())
        assert list(self._scratch.glob("onnxtrim-*")) == []
        assert list(self._out.iterdir()) == ([self.result] if result else [])
        if result:
            onnx.checker.check_model(onnx.load(self.result), full_check=True)

    def kill_all(self) -> None:
        """Ends what is still there after a test that failed."""
        for process in self._processes():
            os.kill(process, signal.SIGKILL)
        self.process.communicate()

    def _wait(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds, as long as it runs."""
        _until(lambda: holds() or self.process.poll() is not None)
        assert self.process.poll() is None, self._errors.read_text()

    def _processes(self) -> list[int]:
        """Returns the processes of its session that have not ended."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session, *_ = path.read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(int(path.parent.name))
        return found


def _command(process: int) -> str:
    """Returns the command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _shared(process: int) -> set[Path]:
    """Returns the blocks of shared memory that a process has attached."""
    words = Path(f"/proc/{process}/maps").read_text().split()
    return {Path(word) for word in words if word.startswith("/dev/shm/psm_")}


def _patience() -> Iterator[None]:
    """Yields again and again, for a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        yield
        time.sleep(0.005)


def _until(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    assert any(holds() for _ in _patience())


Start = Callable[..., Run]


@pytest.fixture
def start(runtime: TrainingRuntime, samples: Samples, tmp_path: Path) -> Iterator[Start]:
    """Returns what starts a run with some options more."""
    runs: list[Run] = []

    def started(**options: str) -> Run:
        home = tmp_path if runtime.folder is None else runtime.folder.parent
        runs.append(Run(samples, tmp_path, options, home))
        return runs[-1]

    yield started
    for run in runs:
        run.kill_all()


def accuracy(path: Path, samples: Samples) -> float:
    """Returns the share of the samples that a model gets right."""
    with np.load(samples.file) as stored:
        images, labels = stored["image"], stored["labels"]
    (scores,) = Runner(normalize(load(path)))({"image": images}).values()
    return float(np.mean(scores.argmax(axis=1) == labels))


def test_a_worker_killed_before_it_has_learned_is_an_error(start: Start) -> None:
    run = start()
    run.wait_for_looks(0)
    os.kill(run.worker, signal.SIGKILL)
    status, output, errors = run.ended()
    assert (status, output) == (3, "")
    assert errors == "onnxtrim: training stopped: no word of why (signal 9)\n"
    run.check_clean(result=False)


def test_a_worker_killed_later_leaves_its_best_weights(start: Start, samples: Samples) -> None:
    run = start()
    run.wait_for_looks(1)
    os.kill(run.worker, signal.SIGKILL)
    status, output, errors = run.ended()
    assert (status, errors) == (0, "")
    assert ": training stopped: no word of why (signal 9)\n" in output
    run.check_clean(result=True)
    assert accuracy(run.result, samples) > accuracy(samples.model, samples)


@pytest.mark.parametrize(
    ("number", "all_of_them"),
    [
        (signal.SIGKILL, False),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, marks=pytest.mark.slow),
    ],
)
def test_a_worker_whose_parent_dies_clears_up(
    start: Start, number: signal.Signals, all_of_them: bool
) -> None:
    run = start()
    run.wait_for_looks(0)
    blocks = _shared(run.worker)
    assert len(blocks) == 2
    if all_of_them:
        os.killpg(run.process.pid, number)
    else:
        run.process.send_signal(number)
    assert run.ended()[0] == -number
    run.check_clean(result=False)
    assert not any(block.exists() for block in blocks)


def test_ctrl_c_keeps_the_best_so_far(start: Start, samples: Samples) -> None:
    run = start()
    run.wait_for_looks(1)
    os.killpg(run.process.pid, signal.SIGINT)
    status, output, errors = run.ended()
    assert status == 130
    assert output.endswith(f"written: {run.result}\n")
    assert errors == "onnxtrim: interrupted; no file was left half-written\n"
    run.check_clean(result=True)
    assert accuracy(run.result, samples) > accuracy(samples.model, samples)


@pytest.mark.parametrize("pause", [0.001, pytest.param(0.03, marks=pytest.mark.slow)])
def test_ctrl_c_twice_ends_at_once(start: Start, pause: float) -> None:
    run = start()
    run.wait_for_looks(1)
    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(pause)
    os.killpg(run.process.pid, signal.SIGINT)
    status, _, errors = run.ended()
    assert status == 130
    assert errors == "onnxtrim: interrupted; no file was left half-written\n"
    run.check_clean(result=run.result.exists())


@pytest.mark.slow
def test_ctrl_c_before_anything_is_trained_ends_it(start: Start) -> None:
    run = start()
    run.wait_for_worker()
    os.killpg(run.process.pid, signal.SIGINT)
    status, _, errors = run.ended()
    assert status == 130
    assert errors == "onnxtrim: interrupted; no file was left half-written\n"
    run.check_clean(result=False)


class TestFullDisk:
    """No file may grow beyond some bytes, which is what a full disk looks like."""

    @staticmethod
    def fill(process: int, room: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (room, room))

    def test_weights_that_cannot_be_saved_are_an_error(self, start: Start) -> None:
        run = start()
        run.wait_for_looks(0)
        self.fill(run.worker, ROOM)
        status, output, errors = run.ended()
        assert (status, output) == (3, "")
        assert errors == (
            "onnxtrim: training stopped: OSError: [Errno 27] File too large (exit status 1)\n"
        )
        run.check_clean(result=False)

    @pytest.mark.slow
    def test_weights_saved_before_are_kept(self, start: Start, samples: Samples) -> None:
        run = start()
        run.wait_for_looks(1)
        self.fill(run.worker, ROOM)
        status, output, errors = run.ended()
        assert (status, errors) == (0, "")
        assert "training stopped: OSError: [Errno 27] File too large (exit status 1)" in output
        run.check_clean(result=True)
        assert accuracy(run.result, samples) > accuracy(samples.model, samples)

    @pytest.mark.slow
    @pytest.mark.parametrize("room", [1000, 20_000, 150_000])
    def test_a_disk_full_from_the_start_is_an_error_of_one_line(
        self, start: Start, room: int
    ) -> None:
        run = start()
        self.fill(run.process.pid, room)
        status, output, errors = run.ended()
        assert (status, output) in [(2, ""), (3, "")]
        assert errors.count("\n") == 1
        assert "File too large" in errors
        assert "internal" not in errors
        run.check_clean(result=False)


def test_a_reader_that_leaves_does_not_cost_the_result(start: Start) -> None:
    run = start(epochs="1")
    assert run.process.stdout is not None
    run.process.stdout.close()
    run.process.wait(60)
    assert run.ended()[::2] == (0, "")
    run.check_clean(result=True)


def test_a_result_that_cannot_be_written_any_more_is_elsewhere(
    start: Start, samples: Samples
) -> None:
    run = start()
    run.wait_for_looks(1)
    run.result.parent.rmdir()
    os.killpg(run.process.pid, signal.SIGINT)
    status, _, errors = run.ended()
    assert status == 2
    spare = Path(errors.partition("; it was written to ")[2].removesuffix(", take it from there\n"))
    assert spare.name == run.result.name
    assert accuracy(spare, samples) > accuracy(samples.model, samples)
    shutil.rmtree(spare.parent)


def test_a_loss_that_is_no_number_ends_the_run(start: Start, samples: Samples) -> None:
    run = start(lr="1e9", **{"weight-decay": "0", "warmup": "0"})
    status, output, errors = run.ended()
    assert (status, errors) == (0, "")
    assert "; lower --lr\n" in output
    assert "the model is as it was" in output
    run.check_clean(result=True)
    assert accuracy(run.result, samples) == accuracy(samples.model, samples)
