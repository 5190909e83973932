"""Tests of `bqnn.engines`."""
