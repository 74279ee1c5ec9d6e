"""What the model is: load, save, strict shapes, normalise (`ir.Model` in, `ir.Model` out)."""

from onnxtrim.graph.load import ModelSource, load, model_digest
from onnxtrim.graph.normalize import normalize
from onnxtrim.graph.save import save
from onnxtrim.graph.shapes import infer_shapes
from onnxtrim.graph.surgeon import SurgeonGraph, from_graphsurgeon, to_graphsurgeon

__all__ = [
    "ModelSource",
    "SurgeonGraph",
    "from_graphsurgeon",
    "infer_shapes",
    "load",
    "model_digest",
    "normalize",
    "save",
    "to_graphsurgeon",
]
