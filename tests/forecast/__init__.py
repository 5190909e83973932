"""Tests of `bqnn.forecast`."""
