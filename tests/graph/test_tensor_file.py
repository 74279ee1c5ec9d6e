"""Tensors in files of their own: name and values, or one line that names the file."""

from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from onnxtrim.errors import DataError
from onnxtrim.graph.tensor_file import read_tensor


def written(path: Path, tensor: onnx.TensorProto) -> Path:
    path.write_bytes(tensor.SerializeToString())
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_tensor(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: cannot be read as a tensor (")
    assert message.endswith("; save it again as TensorProto, by onnx.numpy_helper.from_array")
    return message


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(16000, dtype=np.int64),
        np.array([[True], [False]]),
        np.array([0.5, -2.0], dtype=np.float16),
        np.array([0.5, -2.0], dtype=ml_dtypes.bfloat16),
        np.zeros((0, 3), dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_name_and_values_come_back(tmp_path: Path, array: npt.NDArray[np.generic]) -> None:
    path = written(tmp_path / "input_0.pb", numpy_helper.from_array(array, "x"))
    name, values = read_tensor(path)
    assert (name, values.dtype, values.shape) == ("x", array.dtype, array.shape)
    assert values.tolist() == array.tolist()


def test_a_tensor_may_have_no_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pb", numpy_helper.from_array(np.ones(2, np.float32)))
    assert read_tensor(path)[0] == ""


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "gone.pb")


@pytest.mark.parametrize("content", [b"", b"no tensor at all", b"\xff" * 40])
def test_what_is_no_tensor_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pb"
    path.write_bytes(content)
    refused(path)


def test_values_cut_short_are_named(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones((4, 4), np.float32), "x")
    tensor.raw_data = tensor.raw_data[:-4]
    refused(written(tmp_path / "a.pb", tensor))


def test_no_other_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.ones(4, np.float32).tobytes())
    tensor = onnx.TensorProto(name="x", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(tmp_path / "secret"))
    assert "its values are in another file" in refused(written(tmp_path / "a.pb", tensor))
