"""Tests of `bqnn.compare`."""
