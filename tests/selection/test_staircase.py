"""The step at which convolutions get faster: told from times, measured, remembered."""

import json
import os
from pathlib import Path

import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.selection.staircase import STEPS, cached_step, measured_step, step_of

# Of a chain 64 wide, 4, 8 and 16 channels less leave 88 %, 77 % and 56 % of the work; half of what
# that saves in time is 94 %, 88 % and 78 %.
WIDTHS = (64, 60, 56, 48)


@pytest.mark.parametrize(
    ("four", "eight", "sixteen", "step"),
    [
        (87.9, 76.6, 56.3, 4),  # in proportion to the work
        (93.0, 87.0, 78.0, 4),  # just enough
        (80.0, 60.0, 30.0, 4),  # more than the work
        (100.0, 76.6, 56.3, 8),  # 60 is computed as 64
        (94.5, 87.0, 60.0, 8),
        (130.0, 76.6, 56.3, 8),  # 60 leaves the fast layout
        (100.0, 100.0, 56.3, 16),  # so is 56
        (94.5, 88.5, 77.0, 16),
        (130.0, 130.0, 60.0, 16),
        (87.9, 100.0, 56.3, 16),  # 4 pays by chance: 8, two of them, does not
        (100.0, 100.0, 100.0, 16),  # nothing pays
        (90.0, 80.0, 100.0, 16),
        (150.0, 120.0, 110.0, 16),
    ],
)
def test_the_smallest_step_that_pays(four: float, eight: float, sixteen: float, step: int) -> None:
    times = (100.0, four, eight, sixteen)
    assert step_of(dict(zip(WIDTHS, times, strict=True))) == step


@given(
    st.sampled_from(STEPS), st.floats(1e-5, 10), st.tuples(*[st.floats(0.985, 1.015)] * len(WIDTHS))
)
def test_a_staircase_is_seen_through_noise(
    block: int, seconds: float, noise: tuple[float, ...]
) -> None:
    """Whole blocks are computed: a width takes as long as the next one that fills them, squared."""
    found = {
        width: seconds * (-(-width // block) * block / 64) ** 2 * factor
        for width, factor in zip(WIDTHS, noise, strict=True)
    }
    assert step_of(found) == block


def test_what_is_measured_here_is_one_of_the_steps() -> None:
    assert measured_step() in STEPS


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns what the file of steps calls this machine."""
    file = tmp_path_factory.mktemp("cache") / "steps.json"
    cached_step(file)
    (machine,) = json.loads(file.read_text())
    return str(machine)


class TestCache:
    """`cached_step`: measured once for each machine and version of the runtime."""

    def test_it_is_written_once_in_folders_made_for_it(self, tmp_path: Path) -> None:
        file = tmp_path / "deep" / "down" / "steps.json"
        step = cached_step(file)
        assert step in STEPS
        assert list(json.loads(file.read_text()).values()) == [step]
        written = file.stat().st_mtime_ns, file.read_bytes()
        assert cached_step(file) == step
        assert (file.stat().st_mtime_ns, file.read_bytes()) == written
        assert list(file.parent.iterdir()) == [file]

    @pytest.mark.parametrize("step", STEPS)
    def test_what_is_known_is_not_measured_again(
        self, tmp_path: Path, machine: str, step: int
    ) -> None:
        """Whatever would be measured, two of these three are something else."""
        file = tmp_path / "steps.json"
        file.write_text(json.dumps({machine: step}))
        assert cached_step(file) == step

    def test_the_name_says_which_runtime(self, machine: str) -> None:
        assert machine.endswith(f"/{onnxruntime.__version__}")

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"[16]", b"16", b"null", b"\xff\xfe\x80", b'{"MACHINE": 7}',
         b'{"MACHINE": "16"}', b'{"MACHINE": null}', b'{"MACHINE": [16]}'],
    )  # fmt: skip
    def test_a_damaged_file_is_written_anew(
        self, tmp_path: Path, machine: str, text: bytes
    ) -> None:
        file = tmp_path / "steps.json"
        file.write_bytes(text.replace(b"MACHINE", machine.encode()))
        step = cached_step(file)
        assert step in STEPS
        assert json.loads(file.read_text()) == {machine: step}

    def test_other_machines_keep_theirs(self, tmp_path: Path, machine: str) -> None:
        file = tmp_path / "steps.json"
        file.write_text('{"elsewhere/x86_64//1.2.3": 4}')
        step = cached_step(file)
        assert json.loads(file.read_text()) == {"elsewhere/x86_64//1.2.3": 4, machine: step}

    def test_a_folder_in_its_place_is_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "steps.json").mkdir()
        assert cached_step(tmp_path / "steps.json") in STEPS
        assert list((tmp_path / "steps.json").iterdir()) == []

    def test_nor_is_a_file_in_place_of_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("mine")
        assert cached_step(tmp_path / "cache" / "steps.json") in STEPS
        assert (tmp_path / "cache").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
    def test_nor_is_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert cached_step(locked / "steps.json") in STEPS
        assert list(locked.iterdir()) == []
