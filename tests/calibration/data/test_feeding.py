"""What the model takes, and batches that fit it."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from oracle import proto_of

from onnxtrim.calibration import Batch, InputSpec, batch_size, first_batch, input_specs, open_data
from onnxtrim.calibration.data.feeding import fixed_batch, padded, padded_batches
from onnxtrim.config import DataConfig
from onnxtrim.errors import ModelError
from onnxtrim.graph import load

OPEN = [InputSpec("x", np.dtype(np.float32), (None, 2))]
FIXED = [InputSpec("x", np.dtype(np.float32), (4, 2))]


def rows(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


class TestSpecs:
    """`input_specs`."""

    def test_names_types_and_sizes(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]>
          g (float16[N, 3, H, 8] image, int64[2] ids) => (float16[N, 3, H, 8] y) {
            y = Relu(image)
          }"""
        assert input_specs(load(proto_of(text))) == [
            InputSpec("image", np.dtype(np.float16), (None, 3, None, 8)),
            InputSpec("ids", np.dtype(np.int64), (2,)),
        ]

    def test_an_input_without_rank_cannot_be_fed(self) -> None:
        text = (
            '<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (float[N] y) {y = Relu(x)}'
        )
        proto = proto_of(text)
        proto.graph.input[0].type.tensor_type.ClearField("shape")
        with pytest.raises(ModelError, match=r"^input 'x' has no rank or type; export it"):
            input_specs(load(proto))

    def test_an_input_without_type_cannot_be_fed(self) -> None:
        text = (
            '<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (float[N] y) {y = Relu(x)}'
        )
        proto = proto_of(text)
        proto.graph.input[0].type.Clear()
        with pytest.raises(ModelError, match=r"^input 'x' has no rank or type; export it"):
            input_specs(load(proto))


class TestBatchSize:
    """`batch_size` and `fixed_batch`."""

    @pytest.mark.parametrize(
        ("shapes", "fixed"),
        [
            ([(None, 2)], None),
            ([(4, 2)], 4),
            ([(1,)], 1),
            ([(3, None), (3,)], 3),
            ([(None,), (3, None)], None),
            ([(3, None), (None,)], None),
            ([(None,), ()], None),
            ([()], None),
            ([(), (5,)], None),
            ([(4, 2), (5, 2)], None),
            ([], None),
        ],
    )
    def test_it_is_fixed_where_no_input_leaves_it_open(
        self, shapes: list[tuple[int | None, ...]], fixed: int | None
    ) -> None:
        specs = [InputSpec(str(i), np.dtype(np.float32), s) for i, s in enumerate(shapes)]
        assert fixed_batch(specs) == fixed
        assert batch_size(specs, 7) == (7 if fixed is None else fixed)


class TestBatches:
    """`padded_batches`, `padded`, `first_batch`."""

    def test_an_open_batch_may_end_small(self) -> None:
        data = open_data(rows(10), OPEN, DataConfig())
        found = list(padded_batches(data, OPEN, 4))
        assert [(b.count, len(b.inputs["x"])) for b in found] == [(4, 4), (4, 4), (2, 2)]
        assert np.concatenate([b.inputs["x"] for b in found]).tolist() == rows(10).tolist()

    def test_a_fixed_batch_is_filled_up_with_the_last_sample(self) -> None:
        data = open_data((rows(10), np.arange(10)), FIXED, DataConfig())
        found = list(padded_batches(data, FIXED, 64))
        assert [(b.count, len(b.inputs["x"])) for b in found] == [(4, 4), (4, 4), (2, 4)]
        assert found[2].inputs["x"].tolist() == [[16, 17], [18, 19], [18, 19], [18, 19]]
        assert found[2].labels is not None
        assert found[2].labels.tolist() == [8, 9]

    def test_a_batch_that_one_input_leaves_open_may_end_small(self) -> None:
        specs = [*OPEN, InputSpec("sizes", np.dtype(np.int64), (4,))]
        found = list(padded_batches(open_data(rows(10), OPEN, DataConfig()), specs, 7))
        assert [(b.count, len(b.inputs["x"])) for b in found] == [(7, 7), (3, 3)]

    @pytest.mark.parametrize("labelled", [False, True])
    def test_the_remainder_of_a_stream_is_filled_up_too(self, labelled: bool) -> None:
        batches = [rows(10)[:3], rows(10)[3:4], rows(10)[4:]]
        source = [(x, x[:, 0].astype(int)) if labelled else x for x in batches]
        found = list(padded_batches(open_data(iter(source), FIXED, DataConfig()), FIXED, 64))
        assert [(b.count, len(b.inputs["x"])) for b in found] == [(4, 4), (4, 4), (2, 4)]
        assert np.concatenate([b.inputs["x"][: b.count] for b in found]).tolist() == (
            rows(10).tolist()
        )
        assert found[2].inputs["x"].tolist() == [[16, 17], [18, 19], [18, 19], [18, 19]]

    def test_every_input_is_filled_up(self) -> None:
        specs = [*FIXED, InputSpec("ids", np.dtype(np.int64), (4,))]
        source = [{"x": rows(6), "ids": np.arange(6)}]
        found = list(padded_batches(open_data(source, specs, DataConfig()), specs, 1))
        assert [(b.count, b.inputs["ids"].tolist()) for b in found] == [
            (4, [0, 1, 2, 3]),
            (2, [4, 5, 5, 5]),
        ]

    def test_calls_are_never_filled_up(self) -> None:
        specs = [InputSpec("x", np.dtype(np.float32), (4, 2)), InputSpec("k", np.dtype("i8"), ())]
        source = [{"x": rows(4), "k": n} for n in range(3)]
        found = list(padded_batches(open_data(source, specs, DataConfig()), specs, 64))
        assert [(b.count, b.length, len(b.inputs["x"])) for b in found] == [(1, 1, 4)] * 3
        assert [b.inputs["k"].item() for b in found] == [0, 1, 2]

    def test_the_next_batches_are_read_ahead_but_not_after_the_first(self) -> None:
        class Watched:
            """Notes the threads that read it."""

            labelled = False
            fingerprint = ""

            def __init__(self) -> None:
                self.readers: list[str] = []

            def __len__(self) -> int:
                return 9

            def batches(self, size: int) -> Iterator[Batch]:
                for _ in range(9):
                    self.readers.append(threading.current_thread().name)
                    yield Batch({"x": rows(size)}, None, size)

        data = Watched()
        first_batch(data, OPEN, 1)
        assert data.readers == [threading.current_thread().name]
        data.readers.clear()
        assert len(list(padded_batches(data, OPEN, 1))) == 9
        assert set(data.readers) == {"onnxtrim-prefetch"}

    def test_filling_up_leaves_the_batch_it_is_given(self) -> None:
        batch = Batch({"x": rows(2)}, None, 2)
        fuller = padded(batch, 5)
        assert fuller.count == batch.count == 2
        assert fuller.inputs["x"].shape == (5, 2)
        assert batch.inputs["x"].tolist() == rows(2).tolist()
        assert fuller.inputs["x"].dtype == np.float32

    @pytest.mark.parametrize(("specs", "shape", "real"), [(OPEN, (2, 2), 2), (FIXED, (4, 2), 3)])
    def test_the_first_batch(
        self, specs: list[InputSpec], shape: tuple[int, int], real: int
    ) -> None:
        inputs, count = first_batch(open_data(rows(3), specs, DataConfig()), specs, 2)
        assert (inputs["x"].shape, count) == (shape, real)
        assert inputs["x"][:2].tolist() == [[0, 1], [2, 3]]

    def test_a_data_set_of_nothing_is_nobodys_fault_but_ours(self) -> None:
        class Empty:
            """Holds no sample."""

            labelled = False
            fingerprint = ""

            def __len__(self) -> int:
                return 0

            def batches(self, size: int) -> Iterator[Batch]:
                yield from ()

        with pytest.raises(ValueError, match="one sample at least"):
            first_batch(Empty(), OPEN, 2)
