"""Tests of what runs in the process that trains."""
