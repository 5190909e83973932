"""Tests of `bqnn.agents`."""
