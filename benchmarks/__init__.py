"""Benchmarks: the measurements of `launch.bench`."""
