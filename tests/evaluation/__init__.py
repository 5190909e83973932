"""Tests of `bqnn.evaluation`."""
