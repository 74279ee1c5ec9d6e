"""Tests of the training runtime."""
