"""Tests of `bqnn.search`."""
