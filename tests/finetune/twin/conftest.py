"""The worker that computes gradients, started once."""

from collections.abc import Iterator

import pytest

from finetune.twin.checking import Gradients
from onnxtrim.finetune import TrainingRuntime


@pytest.fixture(scope="session")
def gradients(
    runtime: TrainingRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gradients]:
    """Yields the worker."""
    worker = Gradients(runtime, tmp_path_factory.mktemp("gradients"))
    yield worker
    worker.close()
