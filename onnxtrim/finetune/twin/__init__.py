"""The twin of a model: what is trained in its place."""

from onnxtrim.finetune.twin.twin import Twin, Untrained, check_twin, twin_of, with_sizes

__all__ = ["Twin", "Untrained", "check_twin", "twin_of", "with_sizes"]
