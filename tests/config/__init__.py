"""Tests of `bqnn.config`."""
