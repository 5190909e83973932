"""The Gaussian process against linear algebra in float64, and across machines."""

import functools
import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents import gaussian_process as gp
from tests.helpers.paths import ROOT


def _facts(told: int, pending: int, rows: int) -> gp.Facts:
    rng = np.random.default_rng(0)
    place = np.arange(rows)
    return gp.Facts(
        features=jnp.asarray(rng.integers(0, 4, (rows, 6)), jnp.int32),
        rewards=jnp.asarray(rng.normal(0.7, 0.1, rows - 8), jnp.float32),
        told=jnp.asarray(place[:-8] < told),
        pending=jnp.asarray(place[:8] < pending),
    )


def _exact(
    facts: gp.Facts, features: np.ndarray, noise: float
) -> tuple[np.ndarray, ...]:
    """Solve in float64; what is pending is told at its mean, then all is solved."""
    told, pending = np.pad(facts.told, (0, 8)), np.asarray(facts.pending)
    pending = np.pad(pending, (len(told) - 8, 0))
    there = told | pending
    x, y = np.asarray(facts.features), np.pad(np.float64(facts.rewards), (0, 8))
    apart = np.abs(x[there][:, None] - x[there][None]).sum(2)
    count = len(apart)
    length = apart.sum() / (count * (count - 1))

    def solve(
        x: np.ndarray, y: np.ndarray, at: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            distance = np.abs(a[:, None] - b[None]).sum(2)
            return np.asarray((length / (length + distance)) ** 2)

        inverse = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x)))
        across = kernel(x, at)
        variance = 1 - np.einsum("np,nm,mp->p", across, inverse, across)
        return across.T @ inverse @ y, variance

    z = y[told] - y[told].mean()
    guess, _ = solve(x[told], z, x[pending])
    all_x = np.concatenate([x[told], x[pending]])
    mean, variance = solve(all_x, np.r_[z, guess], features)
    return mean + y[told].mean(), variance * y[told].var()


@pytest.mark.quick_compilation
@pytest.mark.parametrize(("told", "pending"), [(20, 0), (20, 5), (1, 2)])
def test_posterior_is_that_of_linear_algebra(told: int, pending: int) -> None:
    facts = _facts(told, pending, rows=32)
    features = np.random.default_rng(1).integers(0, 4, (10, 6)).astype(np.int32)
    post = jax.jit(gp.posterior, static_argnums=2)(facts, features, 0.1, 32)
    if told > 1:
        mean, variance = _exact(facts, features, 0.1)
        np.testing.assert_allclose(post.mean, mean, atol=2e-5)
        np.testing.assert_allclose(post.variance, variance, atol=2e-5)
    else:  # one reward has no variance: nothing is foretold but the mean
        np.testing.assert_array_equal(post.mean, facts.rewards[0])
        assert (np.asarray(post.variance) == 0).all()


@pytest.mark.quick_compilation
def test_nothing_told_gives_the_prior() -> None:
    features = np.zeros((3, 6), np.int32)
    posterior = jax.jit(gp.posterior, static_argnums=2)
    post = posterior(_facts(0, 0, 16), jnp.asarray(features), 0.1, jnp.int32(16))
    assert post.mean.tolist() == [0, 0, 0] and post.variance.tolist() == [1, 1, 1]


@pytest.mark.quick_compilation
def test_thompson_samples_have_the_posterior_mean_and_variance() -> None:
    post = gp.Posterior(jnp.full(20000, 2.0), jnp.full(20000, 9.0))
    draws = np.asarray(gp.thompson(post, gp.random_bits(jax.random.key(0), 20000)))
    assert draws.mean() == pytest.approx(2, abs=0.1)
    assert draws.std() == pytest.approx(3, abs=0.1)


PROGRAM = """
from tests.agents.test_gaussian_process import answer
print(answer())
"""


@functools.cache
def answer() -> str:
    """Return the bits of a posterior and of a draw from it."""
    facts = _facts(60, 6, rows=72)
    features = np.random.default_rng(1).integers(0, 4, (50, 6)).astype(np.int32)
    post = jax.jit(gp.posterior, static_argnums=2)(facts, features, 0.1, 72)
    draws = jax.jit(gp.thompson)(post, gp.random_bits(jax.random.key(0), 50))
    return hashlib.sha256(np.asarray([*post, draws]).tobytes()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"NPROC": "2"},
        # A processor without fused multiply-add, and one with short vectors.
        {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
        {"XLA_FLAGS": "--xla_cpu_max_isa=AVX --xla_backend_optimization_level=1"},
    ],
    ids=["threads", "no FMA", "AVX"],
)
def test_other_machines_compute_the_same_bits(changes: dict[str, str]) -> None:
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false", **changes}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1] == answer()
