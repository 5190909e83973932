"""Tests of `bqnn.data`."""
