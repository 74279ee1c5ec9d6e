"""What runs in a worker: a process that may have nothing of onnxtrim, only numpy and onnx."""

__all__ = []
