"""Strict numerics for every test, set before jax starts."""

import os
from pathlib import Path

# One thread, as every executor enforces: the bits of an evaluation depend on it.
os.environ["NPROC"] = "1"
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")

# Nothing of the tests in the user's cache.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "home")

import hypothesis
import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compilation takes its time, and a failure must repeat.
hypothesis.settings.register_profile("bqnn", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bqnn")
