"""The temporary folder of a run."""

from pathlib import Path

import pytest

from onnxtrim.errors import DataError, TrainingError
from onnxtrim.finetune.scratch import scratch

resource = pytest.importorskip("resource", reason="the system has no limit for the size of files")


def test_it_is_gone_afterwards_with_what_is_in_it() -> None:
    with scratch() as folder:
        (folder / "best.npz").write_bytes(b"weights")
    assert not folder.exists()


def test_a_full_disk_is_one_sentence_that_says_what_to_do() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(TrainingError) as caught, scratch() as folder:
            (folder / "best.npz").write_bytes(bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        "temporary files cannot be written (File too large); make room, or name another folder in "
        "TMPDIR"
    )
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(TrainingError, match="temporary files cannot be written"), scratch():
        pass


@pytest.mark.parametrize("error", [DataError("a bad image"), BrokenPipeError()])
def test_what_has_another_cause_is_left_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), scratch():
        raise error
