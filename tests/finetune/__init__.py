"""Tests of the training runtime; a package, for another room has a module `runtime` too."""
