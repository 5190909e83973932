"""Benchmarks: what `launch.bench` measures."""
