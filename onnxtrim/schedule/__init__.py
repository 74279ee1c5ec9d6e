"""The loop: measure, choose, cut, tune, evaluate, stop; recipes drive it."""

from onnxtrim.schedule.config import LoopConfig, RunConfig

__all__ = ["LoopConfig", "RunConfig"]
