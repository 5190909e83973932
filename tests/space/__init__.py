"""Tests of `bqnn.space`."""
