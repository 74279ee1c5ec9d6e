"""Batches that somebody yields in Python: lists, generators, loaders, calibration readers.

Data are read several times, in one order: to measure, to evaluate, to prove. A stream may end for
good after one pass, and a loader may shuffle; so batches are read once and stay in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from onnxtrim.calibration.data.dataset import InputSpec
from onnxtrim.calibration.data.parts import Part, given_part
from onnxtrim.calibration.data.skipping import usable
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError

__all__ = ["CalibrationReader", "stream_parts"]


@runtime_checkable
class CalibrationReader(Protocol):
    """What `onnxruntime.quantization.CalibrationDataReader` is."""

    def get_next(self) -> Mapping[str, Any] | None:
        """Returns the next batch by input name, or None after the last."""
        ...


def stream_parts(
    source: Iterable[object] | CalibrationReader, specs: Sequence[InputSpec], config: DataConfig
) -> tuple[list[Part], tuple[str, ...]]:
    """Returns a part for every batch that `source` yields, and the names of those skipped.

    A batch is an array, arrays by input name, or (inputs, labels), with the samples on the first
    axis or as one sample without it. Of a list, all are taken; anything else is read until there
    are `config.samples`, and copied, for it may fill the same arrays again.

    Raises:
        DataError: there is no batch, or one is something else or does not fit the model.
    """
    listed = isinstance(source, Sequence)
    count = 0

    def wanted() -> Iterator[tuple[str, object]]:
        for number, batch in enumerate(_batches(source)):
            yield f"data, batch {number}", batch
            if not listed and config.samples is not None and count >= config.samples:
                return

    def part(item: tuple[str, object]) -> Part:
        nonlocal count
        where, batch = item
        inputs, labels = _unpacked(where, batch)
        found = given_part(where, inputs, labels, specs, lone=True, copy=not listed)
        count += found.count
        return found

    parts, skipped = usable(wanted(), part, lambda item: item[0], skip_bad=config.skip_bad)
    if not parts:
        raise DataError(
            f"data: the {type(source).__name__} yields no batch; give one that is not used up"
        )
    return parts, skipped


def _batches(source: Iterable[object] | CalibrationReader) -> Iterator[object]:
    """Returns the batches of a source from its start."""
    if not isinstance(source, CalibrationReader):
        return iter(source)
    if hasattr(source, "rewind"):
        source.rewind()
    return iter(source.get_next, None)


def _unpacked(where: str, batch: object) -> tuple[object, object]:
    """Returns the inputs of a batch, and its labels or None."""
    if not isinstance(batch, tuple | list):
        return batch, None
    if len(batch) not in (1, 2):
        raise DataError(
            f"{where}: is a {type(batch).__name__} of {len(batch)}; "
            "give an array, a dict of arrays, or (inputs, labels)"
        )
    return batch[0], batch[1] if len(batch) == 2 else None
