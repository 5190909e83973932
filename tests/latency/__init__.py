"""Tests of `bqnn.latency`."""
