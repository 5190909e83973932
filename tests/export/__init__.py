"""Tests of `bqnn.export`."""
