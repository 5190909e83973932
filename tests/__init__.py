"""Tests of bqnn. `make test` runs them."""
