"""Tests of `bqnn.networks`."""
