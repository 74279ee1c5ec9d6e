"""Talking to a worker: stand-ins that echo, fail, die or print, and what becomes of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from oracle import Arrays

from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.runtime.process import environment_with
from onnxtrim.finetune.runtime.remote import Blocks, RemoteTrainer

ECHO = """
import json, sys
for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps({"heard": order}), flush=True)
"""


def stand_in(folder: Path, code: str) -> TrainingRuntime:
    """Returns a runtime whose worker does something else."""
    package = folder / "runtime" / "onnxtrim_worker"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "train.py").write_text(code)
    return TrainingRuntime(Path(sys.executable), folder / "runtime", "0")


def test_orders_are_answered_in_turn(tmp_path: Path) -> None:
    with RemoteTrainer(stand_in(tmp_path, ECHO), tmp_path) as trainer:
        trainer.send("train", rate=0.5)
        trainer.send("save", path="Grüße.npz")
        assert trainer.answer() == {"heard": {"do": "train", "rate": 0.5}}
        assert trainer.answer() == {"heard": {"do": "save", "path": "Grüße.npz"}}


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1 / 0", "training stopped: ZeroDivisionError: division by zero (exit status 1)"),
        ("import sys; sys.exit(7)", "training stopped: no word of why (exit status 7)"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "training stopped: no word of why (signal 9)",
        ),
        (
            "import sys; sys.stdout.write('{'); sys.exit('half an answer')",
            "training stopped: half an answer (exit status 1)",
        ),
        (
            "import sys; sys.exit('why\\n\\n2026-01-01 [I:onnxruntime:Default, a.cc:1 Apply] OK')",
            "training stopped: why (exit status 1)",
        ),
    ],
)
def test_a_death_is_an_error_with_the_last_words(tmp_path: Path, code: str, sentence: str) -> None:
    with RemoteTrainer(stand_in(tmp_path, code), tmp_path) as trainer:
        with pytest.raises(TrainingError) as caught:
            trainer.ask("train")
        assert str(caught.value) == sentence


def test_the_worker_is_gone_afterwards_whatever_it_does(tmp_path: Path) -> None:
    stubborn = stand_in(tmp_path, "import time\nwhile True: time.sleep(9)")
    with suppress(KeyboardInterrupt), RemoteTrainer(stubborn, tmp_path) as trainer:
        pid = trainer.pid
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_ctrl_c_leaves_no_worker_either(tmp_path: Path) -> None:
    stubborn = stand_in(tmp_path, "import time\nwhile True: time.sleep(9)")
    trainer = RemoteTrainer(stubborn, tmp_path)
    pid, block = trainer.pid, trainer.place({"a": np.zeros(3)})["block"]
    with pytest.raises(KeyboardInterrupt), trainer:
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(FileNotFoundError):
        SharedMemory(block)


PARENT = """
import sys, time
from pathlib import Path
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.runtime.remote import RemoteTrainer
folder = Path(sys.argv[1])
trainer = RemoteTrainer(TrainingRuntime(Path(sys.executable), folder / "runtime", "0"), folder)
trainer.ask("build")
print(trainer.pid, flush=True)
time.sleep(60)
"""


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    stand_in(tmp_path, ECHO)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env=environment_with(Path(__file__).parents[3]),
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent, parent.stdout or open(os.devnull) as said:
        pid = int(said.readline())
        parent.send_signal(signal.SIGKILL)
    assert _gone(pid)


def _gone(pid: int) -> bool:
    """Returns whether a process that nobody of us waits for ends within some seconds."""
    for _ in range(200):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


class TestBlocks:
    """Arrays in shared memory."""

    @pytest.fixture
    def blocks(self) -> Iterator[Blocks]:
        made = Blocks()
        yield made
        made.close()

    def test_arrays_are_where_it_says_until_the_next_but_one(self, blocks: Blocks) -> None:
        sent: list[Arrays] = [
            {"a": np.full((2, 3), k, np.float32), "b": np.arange(k + 1, dtype=np.int64)}
            for k in range(5)
        ]
        places = [blocks.place(arrays) for arrays in sent[:2]]
        for arrays in sent[2:]:
            for place, wanted in zip(places, sent, strict=False):
                _check(place, wanted)
            places = [places[1], blocks.place(arrays)]
            sent = sent[1:]

    def test_a_block_is_used_again_unless_it_is_too_small(self, blocks: Blocks) -> None:
        sizes = [1000, 10, 900, 100_000, 1000]
        places = [blocks.place({"a": np.zeros(size, np.uint8)}) for size in sizes]
        assert [place["slot"] for place in places] == [0, 1, 0, 1, 0]
        names = [place["block"] for place in places]
        assert names[0] == names[2] == names[4]
        assert names[1] != names[3]

    def test_they_are_gone_afterwards(self) -> None:
        blocks = Blocks()
        name = blocks.place({"a": np.zeros(3)})["block"]
        blocks.close()
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)

    def test_too_little_memory_is_one_sentence_that_says_what_to_do(self, blocks: Blocks) -> None:
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(TrainingError) as caught:
                blocks.place({"a": np.zeros(2_000_000, np.uint8)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(caught.value) == (
            "there is no shared memory for a batch of 2.0 MB (File too large); lower --batch-size, "
            "or allow for more (/dev/shm)"
        )


def _check(place: dict[str, object], wanted: Arrays) -> None:
    """Compares what lies in a block with what was put there."""
    block = SharedMemory(str(place["block"]))
    listed = place["arrays"]
    assert isinstance(listed, list)
    assert [one["name"] for one in listed] == list(wanted)
    for one in listed:
        found = np.ndarray(one["shape"], one["dtype"], block.buf, one["offset"]).copy()
        np.testing.assert_array_equal(found, wanted[one["name"]])
        assert found.dtype == wanted[one["name"]].dtype
        assert one["offset"] % 64 == 0
    block.close()
