"""Models: functions that foretell rewards of blocks from those of blocks told.

The agent's Gaussian process and its rivals: ridge regression and trees on the same
features, and the recurrent network of `peephole` on the layers.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks import peephole
from bqnn.agents import gaussian_process as gp
from bqnn.config import QModelConfig
from bqnn.space.actions import Int32

Float32 = NDArray[np.float32]


class Blocks(NamedTuple):
    """Blocks as models see them.

    Attributes:
      features: `Space.features` of each, int32 `[N, F]`.
      layers: codes of its layers, zeros after its end, int32 `[N, T, 4]`.
      lengths: numbers of actions, int32 `[N]`.
    """

    features: Int32
    layers: Int32
    lengths: Int32

    def at(self, rows: NDArray[np.intp]) -> "Blocks":
        """Return some of the blocks."""
        return Blocks(*(array[rows] for array in self))


Model = Callable[[Blocks, Float32, Blocks], NDArray[np.floating]]
"""(blocks told, their rewards `[N]`, P others) -> rewards foretold, `[P]`."""


def gaussian_process(told: Blocks, rewards: Float32, unseen: Blocks) -> Float32:
    """Foretell by the process of `q_model`."""
    facts = gp.Facts(
        features=jnp.asarray(told.features),
        rewards=jnp.asarray(rewards),
        told=jnp.ones(len(rewards), bool),
        pending=jnp.zeros(0, bool),
    )
    rows = jnp.asarray(len(rewards))
    noise = jnp.float32(QModelConfig().noise)
    return np.asarray(_posterior(facts, jnp.asarray(unseen.features), noise, rows).mean)


_posterior = jax.jit(gp.posterior)


def ridge(
    told: Blocks, rewards: Float32, unseen: Blocks, penalty: float = 10.0
) -> NDArray[np.floating]:
    """Foretell by linear regression on standardised features.

    Args:
      told: blocks told.
      rewards: theirs.
      unseen: blocks to foretell.
      penalty: of the squared weights, where features and rewards have variance 1.
    """
    mean, spread = told.features.mean(axis=0), told.features.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    x, points = ((b.features - mean) / scale for b in (told, unseen))
    centred = rewards - rewards.mean()
    weights = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), centred)
    return rewards.mean() + points @ weights


def forest(told: Blocks, rewards: Float32, unseen: Blocks) -> NDArray[np.floating]:
    """Foretell by a random forest (Breiman, 2001), with scikit-learn's defaults."""
    from sklearn.ensemble import RandomForestRegressor

    trees = RandomForestRegressor(random_state=0).fit(told.features, rewards)
    return trees.predict(unseen.features)


def boosted(told: Blocks, rewards: Float32, unseen: Blocks) -> NDArray[np.floating]:
    """Foretell by boosted trees (Friedman, 2001), with scikit-learn's defaults."""
    from sklearn.ensemble import GradientBoostingRegressor

    trees = GradientBoostingRegressor(random_state=0).fit(told.features, rewards)
    return trees.predict(unseen.features)


def recurrent(told: Blocks, rewards: Float32, unseen: Blocks) -> Float32:
    """Foretell by an ensemble of recurrent networks."""
    one, other = (
        (jnp.asarray(b.layers), jnp.asarray(b.lengths)) for b in (told, unseen)
    )
    with jax.numpy_dtype_promotion("standard"):  # for optax
        return np.asarray(peephole.foretell(one, jnp.asarray(rewards), other))


TREES: Mapping[str, Model] = (
    {"random forest": forest, "boosted trees": boosted}
    if importlib.util.find_spec("sklearn")
    else {}
)
"""None where scikit-learn is not installed."""

MODELS: Mapping[str, Model] = {
    "Gaussian process": gaussian_process,
    "ridge": ridge,
    **TREES,
    "Peephole": recurrent,
}
"""The models by name."""
