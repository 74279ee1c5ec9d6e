"""Arrays that lie together, in a file or in memory, checked against the inputs of the model.

Where every input has the batch on its first axis, a part holds samples: rows of its arrays. Where
one has not (a scalar, or a first size of its own), a part is one call: its arrays go into the
model as they are.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.data.dataset import Batch, InputSpec, batched
from onnxtrim.calibration.data.labels import (
    UNNAMED,
    ArrayForm,
    FolderFile,
    checked_labels,
    shape_text,
)
from onnxtrim.errors import DataError

__all__ = ["Load", "Part", "given_part", "held_part", "make_part", "piece", "values_of"]

Load = Callable[[Collection[str]], Mapping[str, npt.NDArray[Any]]]
"""Returns arrays of a part by their names in it."""

_LABELS = ("labels", "y")


@dataclass(frozen=True, slots=True)
class Part:
    """Samples that lie together, in one file or in memory; or one call.

    Attributes:
        where: What messages call it.
        files: The files it is read from; none in memory.
        load: Returns the arrays of these names in the part.
        names: The name in the part, by input of the model.
        count: Number of samples; 1 for a call.
        labels: (count,) labels, if known.
    """

    where: str
    files: tuple[FolderFile, ...]
    load: Load
    names: Mapping[str, str]
    count: int
    labels: npt.NDArray[np.int64] | None


def make_part(
    where: str,
    forms: Mapping[str, ArrayForm],
    load: Load,
    specs: Sequence[InputSpec],
    *,
    labels: npt.NDArray[Any] | None = None,
    lone: bool = False,
    files: tuple[FolderFile, ...] = (),
) -> Part:
    """Returns stored arrays as a part; no input is loaded.

    Args:
        where: what messages call it.
        forms: shapes and element types, by name in the part.
        load: returns arrays by their names in the part.
        specs: the inputs of the model.
        labels: labels given apart; they go before any in the part.
        lone: whether an array may be one sample without the batch axis.
        files: the files it is read from.

    Raises:
        DataError: names, shapes, element types or labels do not fit the model.
    """
    names, labels_name = _assigned(where, forms, specs, labels_apart=labels is not None)
    count = _checked_count(where, {s: forms[names[s.name]] for s in specs}, lone=lone)
    if labels_name is not None:
        labels = load([labels_name])[labels_name]
    checked = None if labels is None else checked_labels(where, labels, count)
    return Part(where, files, load, names, count, checked)


def held_part(
    where: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    specs: Sequence[InputSpec],
    *,
    labels: npt.NDArray[Any] | None = None,
    lone: bool = False,
) -> Part:
    """Returns arrays in memory as a part (see `make_part`)."""
    forms = {name: ArrayForm(array.shape, array.dtype) for name, array in arrays.items()}
    return make_part(where, forms, lambda _: arrays, specs, labels=labels, lone=lone)


def given_part(
    where: str,
    inputs: object,
    labels: object,
    specs: Sequence[InputSpec],
    *,
    lone: bool = False,
    copy: bool = False,
) -> Part:
    """Returns what somebody gave in Python as a part: one array or arrays by name, and labels.

    Args:
        where: what messages call it.
        inputs: an array, or a mapping of arrays; tensors of other libraries will do.
        labels: the labels, or None.
        specs: the inputs of the model.
        lone: whether an array may be one sample without the batch axis.
        copy: whether the arrays may change before they are read.

    Raises:
        DataError: something is no array, or does not fit the model.
    """
    table = inputs if isinstance(inputs, Mapping) else {UNNAMED: inputs}
    arrays = {name: _as_array(where, name, array) for name, array in table.items()}
    if copy:
        arrays = {name: array.copy() for name, array in arrays.items()}
    y = None if labels is None else _as_array(where, "y", labels)
    return held_part(where, arrays, specs, labels=y, lone=lone)


def values_of(part: Part, specs: Sequence[InputSpec]) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of a part by input, with the batch axis where the model has one."""
    stored = part.load(part.names.values())
    found = {}
    for spec in specs:
        array = stored[part.names[spec.name]]
        if not spec.shape:
            array = array.reshape(())
        elif array.ndim < len(spec.shape):
            array = array[np.newaxis]
        found[spec.name] = array
    return found


def piece(
    part: Part,
    values: Mapping[str, npt.NDArray[Any]],
    specs: Sequence[InputSpec],
    rows: npt.NDArray[np.int64],
) -> Batch:
    """Returns the samples `rows` of a part with `values`, in the element types of the inputs.

    Raises:
        DataError: a value is not finite, or does not fit its input.
    """
    labels = None if part.labels is None else part.labels[rows]
    if not batched(specs):
        # Copies, so that what is done to a batch does not reach whoever gave the data.
        whole = {s.name: _converted(part.where, s, values[s.name].copy(), None) for s in specs}
        return Batch(whole, labels, 1, call=True)
    inputs = {s.name: _converted(part.where, s, values[s.name][rows], rows) for s in specs}
    return Batch(inputs, labels, rows.size)


def _converted(
    where: str, spec: InputSpec, array: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None
) -> npt.NDArray[Any]:
    """Returns `array`, the samples `rows` of a part or a call, in the element type of the input.

    Raises:
        DataError: a value is not finite, or does not fit that type.
    """
    raw = np.asarray(array)  # no memory map, which a batch would keep open
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the sample
        values: npt.NDArray[Any] = np.asarray(raw, dtype=spec.dtype, order="C")
    wrong = np.zeros(raw.shape, dtype=bool)
    what = f"NaN or infinity (as {spec.dtype})"
    if spec.dtype.kind in "fV":
        wrong = ~np.isfinite(values)
    elif spec.dtype.kind in "iu" and not np.can_cast(raw.dtype, spec.dtype):
        limits = np.iinfo(spec.dtype)
        wrong = (raw < limits.min) | (raw > limits.max)
        what = f"a value that {spec.dtype} cannot hold"
    if wrong.any():
        if rows is None:
            raise DataError(f"{where}: input {spec.name!r} has {what}; correct it or remove it")
        sample = int(rows[wrong.reshape(rows.size, -1).any(axis=1).argmax()])
        raise DataError(
            f"{where}: sample {sample} of input {spec.name!r} has {what}; "
            "correct the sample or remove it"
        )
    return values


def _assigned(
    where: str,
    forms: Mapping[str, ArrayForm],
    specs: Sequence[InputSpec],
    labels_apart: bool = False,
) -> tuple[dict[str, str], str | None]:
    """Returns the name of the array for each input, and the name of the labels, if any."""
    inputs = [spec.name for spec in specs]
    candidates = [n for n in _LABELS if n in forms and n not in inputs]
    labels = candidates[0] if candidates and not labels_apart and len(forms) > 1 else None
    held = [name for name in forms if name != labels]
    if len(inputs) == len(held) == 1:  # the name of a lone array says nothing
        return {inputs[0]: held[0]}, labels
    expected = ", ".join(inputs)
    if held == [UNNAMED]:
        raise DataError(
            f"{where}: is one array, but the model has the inputs {expected}; "
            "give an .npz (in Python, a dict) with one array an input"
        )
    for name in inputs:
        if name not in held:
            raise DataError(
                f"{where}: has no array for input {name!r}, but {', '.join(held) or 'none'}; "
                f"name the arrays as the inputs of the model: {expected}"
            )
    for name in held:
        if name not in inputs:
            advice = "" if labels_apart else ", or name it 'labels' if that is what it holds"
            raise DataError(
                f"{where}: array {name!r} is no input of the model ({expected}); remove it{advice}"
            )
    return {name: name for name in inputs}, labels


def _checked_count(where: str, forms: Mapping[InputSpec, ArrayForm], *, lone: bool) -> int:
    """Returns the number of samples, after shapes and element types were found to fit.

    Args:
        where: what messages call the part.
        forms: shapes and element types, by input.
        lone: whether an array may be one sample without the batch axis.
    """
    for spec, form in forms.items():
        if not _castable(form.dtype, spec.dtype):
            raise DataError(
                f"{where}: input {spec.name!r} has elements of {form.dtype}, the model expects "
                f"{spec.dtype}; convert the data to {spec.dtype}"
            )
    if not batched(list(forms)):
        _check_call(where, forms)
        return 1
    counts = {}
    for spec, form in forms.items():
        shape = form.shape
        if lone and len(shape) == len(spec.shape) - 1:
            shape = (1, *shape)
        if not _fits(shape[1:], spec.shape[1:]) or not shape:
            raise DataError(
                f"{where}: input {spec.name!r} has shape {form.shape}, the model expects "
                f"{shape_text(spec.shape)}; reshape the data, with its samples on the first axis"
            )
        counts[spec.name] = shape[0]
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise DataError(f"{where}: has {text}; give every input the same number of samples")
    count = next(iter(counts.values()))
    if not count:
        raise DataError(f"{where}: holds 0 samples; give at least one, or remove it")
    return count


def _check_call(where: str, forms: Mapping[InputSpec, ArrayForm]) -> None:
    """Raises DataError where a shape is not that of the input, first axis included."""
    for spec, form in forms.items():
        if _fits(form.shape, spec.shape) or (not spec.shape and np.prod(form.shape) == 1):
            continue
        raise DataError(
            f"{where}: input {spec.name!r} has shape {form.shape}, the model expects "
            f"{shape_text(spec.shape, batch=False)}; its inputs do not share a batch axis, so "
            "give the arrays of one call as they go into the model"
        )


def _fits(has: Sequence[int], wants: Sequence[int | None]) -> bool:
    """Returns whether sizes are those that the model states."""
    return len(has) == len(wants) and all(
        want in (None, size) for size, want in zip(has, wants, strict=True)
    )


def _castable(has: np.dtype[Any], wants: np.dtype[Any]) -> bool:
    """Returns whether data of one element type may be converted to that of the input."""
    if wants.kind in "fV":  # V: the float types that numpy itself does not know, such as bfloat16
        return has.kind in "fiub" or has == wants
    return has.kind in {"i": "iub", "u": "iub", "b": "b"}.get(wants.kind, "")


def _as_array(where: str, name: str, data: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - anything
    """Returns data given in Python as an array; an array stays the one it is."""
    try:
        if hasattr(data, "detach"):  # a tensor of torch, which may have a gradient or lie elsewhere
            data = data.detach().cpu()
        return np.asarray(data)
    except Exception as error:  # tensors of other libraries raise their own types
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{where}: {name!r} is no array ({reason}); give a numpy array") from error
