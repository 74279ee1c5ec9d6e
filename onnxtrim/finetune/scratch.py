"""Where what training needs on disk lies while it lasts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxtrim.errors import TrainingError

__all__ = ["scratch"]


@contextmanager
def scratch() -> Iterator[Path]:
    """Yields a temporary folder; it is gone afterwards.

    Raises:
        TrainingError: the system can write no file there, from the first to the last.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="onnxtrim-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    except BrokenPipeError:  # of whoever watches
        raise
    except OSError as error:
        raise TrainingError(
            f"temporary files cannot be written ({error.strerror or error}); make room, or name "
            "another folder in TMPDIR"
        ) from error
