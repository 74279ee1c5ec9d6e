"""Weight pruning: single weights become 0 and stay in place (ir.Model in, ir.Model out).

Zeros in place change neither the sizes of a model nor what a dense runtime computes.
"""

from onnxtrim.sparsity.candidates import Candidate, candidates_of
from onnxtrim.sparsity.proof import proven, zeros_stay
from onnxtrim.sparsity.zeroing import SparseLayer, patterned, recounted, sparsified

__all__ = [
    "Candidate",
    "SparseLayer",
    "candidates_of",
    "patterned",
    "proven",
    "recounted",
    "sparsified",
    "zeros_stay",
]
