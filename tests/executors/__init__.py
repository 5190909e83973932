"""Tests of `bqnn.executors`."""
