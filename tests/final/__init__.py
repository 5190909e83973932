"""Tests of `bqnn.final`."""
