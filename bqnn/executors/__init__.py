"""Executors evaluate candidates, in processes or on a cluster, with equal results.

This module imports nothing: a worker process imports `child` from this package, and
must be tied to its master before it imports jax.
"""
