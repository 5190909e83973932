"""Tests of `bqnn.report`."""
