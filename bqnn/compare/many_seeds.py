"""Searches with many seeds at once over a tabular benchmark."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from bqnn import machine, numerics
from bqnn.agents import State, make_learner
from bqnn.agents.agent import host
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import AgentConfig, schedule
from bqnn.space.actions import Int32

SEEDS_AT_ONCE = 25
"""Seeds in one program. The Q-tables of more seeds do not fit into the caches."""


class Asked(NamedTuple):
    """What R searches of N evaluations asked, in order.

    Attributes:
      indices: of the blocks in the table, int32 `[R, N]`.
      functions: a number for what each block computes, uint32 `[R, N]`.
    """

    indices: Int32
    functions: NDArray[np.uint32]


def for_budget(agent: AgentConfig, budget: int, batch: int) -> AgentConfig:
    """Stretch the schedule of an agent over `budget` evaluations."""
    spread = schedule.stretched(agent.schedule, -(-budget // batch))
    return dataclasses.replace(agent, schedule=str(spread))


def search_seeds(
    benchmark: TabularBenchmark, agent: AgentConfig, batch: int, seeds: int
) -> Iterator[Asked]:
    """Search with seeds 0, 1, ...

    Each search equals that of `bqnn.search.master` with lag 0, evaluation by
    evaluation.

    Args:
      benchmark: what is searched.
      agent: which agent; its schedule is the length of the search.
      batch: blocks per iteration.
      seeds: how many searches.

    Yields:
      What the next seeds asked; R is `SEEDS_AT_ONCE` or, at the end, less.
    """
    many = jax.jit(jax.vmap(_search_of(benchmark, agent, batch)))
    starts = range(0, seeds, SEEDS_AT_ONCE)
    with numerics.pinned(), jax.default_device(host()):
        compiled = many.lower(jnp.arange(SEEDS_AT_ONCE)).compile()

    @numerics.pinned()
    def run(start: int) -> Asked:
        # The last part has as many seeds as the others, so one program serves all.
        seeds_here = jax.device_put(
            np.arange(start, start + SEEDS_AT_ONCE, dtype=np.int32)
        )
        asked = compiled(seeds_here)
        return Asked(*(np.asarray(array)[: seeds - start] for array in asked))

    with ThreadPoolExecutor(machine.cores()) as pool:
        yield from pool.map(run, starts)


def _search_of(
    benchmark: TabularBenchmark, agent: AgentConfig, batch: int
) -> Callable[[Array], tuple[Array, Array]]:
    learner = make_learner(benchmark.space, agent, batch)
    rewards = jnp.asarray(benchmark.rewards)
    nothing = jnp.zeros((0, len(benchmark.space.num_actions)), jnp.int32)

    def iterate(
        state: State, at: tuple[Array, Array]
    ) -> tuple[State, tuple[Array, Array]]:
        actions = learner.sample(state, *at, nothing)
        indices = benchmark.index_of(actions)
        functions = jax.vmap(benchmark.space.key)(actions)
        return learner.tell(state, actions, rewards[indices]), (indices, functions)

    def search(seed: Array) -> tuple[Array, Array]:
        """Search with one seed; returns indices, int32 `[N]`, and functions."""
        epsilons = jnp.array(learner.epsilons, jnp.float32)
        every = (jnp.arange(len(epsilons)), epsilons)
        indices, functions = lax.scan(iterate, learner.init(seed), every)[1]
        return indices.reshape(-1), functions.reshape(-1)

    return search
