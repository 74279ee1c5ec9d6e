"""A tensor in a file of its own: a serialised TensorProto, as `test_data_set_*` folders hold."""

from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

from onnxtrim.errors import DataError

__all__ = ["read_tensor"]


def read_tensor(path: Path) -> tuple[str, npt.NDArray[Any]]:
    """Returns the name (empty where it has none) and the values of the tensor in a .pb file.

    Raises:
        DataError: the file is missing, damaged, or holds no tensor with its values in it.
    """
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        if tensor.data_type == onnx.TensorProto.UNDEFINED:
            raise ValueError("it has no element type")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("its values are in another file")
        return tensor.name, numpy_helper.to_array(tensor)
    except Exception as error:  # malformed content surfaces as many types
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: cannot be read as a tensor ({reason}); "
            "save it again as TensorProto, by onnx.numpy_helper.from_array"
        ) from error
