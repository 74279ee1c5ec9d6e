"""The training build of ONNX Runtime: where it is, how it gets there, how its process is talked to.

The other end of that talk is `worker/`, which runs in the process.
"""

__all__ = []
