"""Tests of what is lowered."""
