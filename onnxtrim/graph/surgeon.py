"""`onnx-graphsurgeon` graphs, taken in and given back; the package is needed only for these."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import onnx
import onnx_ir as ir

from onnxtrim.errors import LoadError, UsageError
from onnxtrim.graph.edit import in_memory

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

__all__ = ["SurgeonGraph", "from_graphsurgeon", "to_graphsurgeon"]


@runtime_checkable
class SurgeonGraph(Protocol):
    """What is taken for an `onnx_graphsurgeon.Graph`."""

    opset: int

    def toposort(self) -> object:
        """Sorts the nodes."""

    def tensors(self) -> object:
        """Returns the tensors by name."""


def from_graphsurgeon(graph: SurgeonGraph) -> onnx.ModelProto:
    """Returns the model that a graphsurgeon graph describes; the graph is not changed.

    Raises:
        LoadError: it cannot be exported.
    """
    import onnx_graphsurgeon as gs

    try:
        proto = gs.export_onnx(graph, do_type_check=False)
    except Exception as error:  # whatever graphsurgeon stumbles over
        reason = " ".join(str(error).split())[:300]
        raise LoadError(f"graph: onnx-graphsurgeon cannot export it ({reason})") from error
    assert isinstance(proto, onnx.ModelProto)
    return proto


def to_graphsurgeon(model: ir.Model) -> "gs.Graph":
    """Returns `model` as a graph of onnx-graphsurgeon; weights are in memory.

    Raises:
        UsageError: onnx-graphsurgeon is not installed.
    """
    try:
        import onnx_graphsurgeon as gs
    except ImportError as error:
        raise UsageError(
            "onnx-graphsurgeon is not installed; run: pip install 'onnxtrim[graphsurgeon]'"
        ) from error
    return gs.import_onnx(ir.to_proto(in_memory(model)))
