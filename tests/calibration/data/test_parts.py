"""Calls: models whose inputs share no batch axis get their arrays as they are."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration import first_batch, input_specs, open_data, split
from onnxtrim.calibration.data.dataset import Batch, Dataset, InputSpec
from onnxtrim.calibration.data.feeding import padded_batches
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, ModelError
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner

ASSETS = Path(os.environ.get("ONNXTRIM_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))

SOUND = InputSpec("sound", np.dtype(np.float32), (None, None))
STATE = InputSpec("state", np.dtype(np.float32), (2, None, 3))
RATE = InputSpec("rate", np.dtype(np.int64), ())
SPECS = [SOUND, STATE, RATE]


def call(number: int, rows: int = 1) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of one call, full of its number."""
    return {
        "sound": np.full((rows, 4 + number), number),
        "state": np.full((2, rows, 3), -number),
        "rate": np.array(8000 + number),
    }


def check(batch: Batch, number: int, rows: int = 1) -> None:
    """Fails unless the batch is that call, in the element types of the inputs."""
    assert (batch.call, batch.count, batch.length) == (True, 1, 1)
    for spec in SPECS:
        found, wanted = batch.inputs[spec.name], call(number, rows)[spec.name]
        assert (found.dtype, found.shape) == (spec.dtype, wanted.shape)
        assert found.tolist() == wanted.tolist()


def opened(source: Any, samples: int | None = None) -> Dataset:  # noqa: ANN401
    return open_data(source, SPECS, DataConfig(samples=samples))


def refused(source: Any) -> str:  # noqa: ANN401
    with pytest.raises(DataError) as caught:
        list(opened(source).batches(1))
    return str(caught.value)


class TestCalls:
    """What a call is, and that it stays whole."""

    @given(rows=st.lists(st.integers(1, 4), min_size=1, max_size=5), size=st.integers(1, 9))
    def test_each_dict_is_one_whatever_the_size(self, rows: list[int], size: int) -> None:
        data = opened([call(i, n) for i, n in enumerate(rows)])
        assert len(data) == len(rows)
        found = list(padded_batches(data, SPECS, size))
        assert len(found) == len(rows)
        for i, (batch, n) in enumerate(zip(found, rows, strict=True)):
            check(batch, i, n)

    def test_each_file_of_a_folder_is_one(self, tmp_path: Path) -> None:
        for number in range(3):
            np.savez(tmp_path / f"{number}.npz", **call(number, 2))  # type: ignore[arg-type]
        for number, batch in enumerate(opened(tmp_path).batches(64)):
            check(batch, number, 2)

    def test_a_dict_or_a_file_by_itself_is_one(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", **call(5, 2))  # type: ignore[arg-type]
        for source in (call(5, 2), tmp_path / "a.npz"):
            (batch,) = opened(source).batches(64)
            check(batch, 5, 2)

    @pytest.mark.parametrize("shape", [(1,), (1, 1)])
    def test_one_element_will_do_for_a_scalar(self, shape: tuple[int, ...]) -> None:
        source = call(5) | {"rate": np.full(shape, 8005)}
        (batch,) = opened(source).batches(1)
        check(batch, 5)

    def test_a_call_has_one_label(self) -> None:
        (batch,) = opened((call(0, 3), [7])).batches(1)
        assert batch.labels is not None
        assert batch.labels.tolist() == [7]
        assert refused((call(0, 3), [7, 8, 9])) == (
            "data: labels are int64 of shape (3,); give one integer a sample, shape (1,)"
        )

    def test_samples_and_splits_count_calls(self) -> None:
        data = opened([call(i) for i in range(10)])
        measuring, held_out = split(data)
        check(next(held_out.batches(1)), 2)
        assert (len(measuring), len(held_out)) == (8, 2)
        some = list(opened([call(i) for i in range(10)], samples=2).batches(64))
        check(some[1], 9)

    def test_the_first_batch_is_the_first_call(self) -> None:
        inputs, count = first_batch(opened([call(i, 3) for i in range(4)]), SPECS, 8)
        assert (inputs["sound"].tolist(), count) == ([[0.0] * 4] * 3, 1)

    def test_the_source_cannot_be_changed_through_a_batch(self) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {
            spec.name: call(1)[spec.name].astype(spec.dtype) for spec in SPECS
        }
        next(opened(arrays).batches(1)).inputs["state"][:] = 9
        assert (arrays["state"] == -1).all()

    def test_the_fingerprint_knows_every_value_and_shape(self) -> None:
        turned = call(1) | {"state": np.full((2, 3, 1), -1).reshape(2, 1, 3)}
        assert opened(call(1)).fingerprint == opened(turned).fingerprint
        sources = [
            [call(1)],
            [call(2)],
            [call(1, 2)],
            [call(1), call(1)],
            [call(1) | {"rate": np.array(1)}],
        ]
        assert len({opened(source).fingerprint for source in sources}) == len(sources)


class TestRefusals:
    """Arrays that are not those of a call."""

    @pytest.mark.parametrize(
        ("name", "shape", "expected"),
        [
            ("state", (1, 2, 3), "(2, ?, 3)"),
            ("state", (2, 3), "(2, ?, 3)"),
            ("sound", (4,), "(?, ?)"),
            ("rate", (2,), "()"),
        ],
    )
    def test_shapes(self, name: str, shape: tuple[int, ...], expected: str) -> None:
        assert refused(call(0) | {name: np.zeros(shape, dtype=int)}) == (
            f"data: input {name!r} has shape {shape}, the model expects {expected}; its inputs do "
            "not share a batch axis, so give the arrays of one call as they go into the model"
        )

    def test_values(self) -> None:
        assert refused([call(0), call(1) | {"state": np.full((2, 1, 3), np.nan)}]) == (
            "data, batch 1: input 'state' has NaN or infinity (as float32); correct it or remove it"
        )

    def test_a_missing_input(self) -> None:
        assert refused({"sound": np.ones((1, 4)), "state": np.ones((2, 1, 3))}).startswith(
            "data: has no array for input 'rate', but sound, state; name the arrays"
        )


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_16k_op15"])
def test_a_model_with_a_state_and_a_scalar_runs(name: str, tmp_path: Path) -> None:
    path = ASSETS / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip("needs the real models of ../shared/assets (or the folder of ONNXTRIM_ASSETS)")
    model = normalize(load(path))
    specs = input_specs(model)
    rng = np.random.default_rng(0)
    calls = [
        {
            "input": rng.standard_normal((n, 512)).astype(np.float32),
            "state": np.zeros((2, n, 128), np.float32),
            "sr": np.array(16000),
        }
        for n in (1, 2)
    ]
    for number, arrays in enumerate(calls):
        np.savez(tmp_path / f"{number}.npz", **arrays)  # type: ignore[arg-type]
    try:
        runner = Runner(model)
    except ModelError:
        pytest.skip("this ONNX Runtime cannot load the model; 1.28 and later can")
    for source in (tmp_path, calls):
        batches = padded_batches(open_data(source, specs, DataConfig()), specs, 64)
        for batch, arrays in zip(batches, calls, strict=True):
            found, expected = runner(batch.inputs), runner(arrays)
            assert found["output"].shape == (len(arrays["input"]), 1)
            assert all((found[key] == expected[key]).all() for key in expected)
