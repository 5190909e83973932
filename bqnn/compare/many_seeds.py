"""Searches with many seeds at once over a tabular benchmark."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn import machine, numerics, runtime
from bqnn.agents import State, make_learner
from bqnn.agents.agent import host
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import AgentConfig, schedule
from bqnn.space.actions import Int32

SEEDS_AT_ONCE = 25
"""Seeds in one program. The Q-tables of more seeds do not fit into the caches."""


def for_budget(agent: AgentConfig, budget: int, batch: int) -> AgentConfig:
    """Stretch the schedule of an agent over `budget` evaluations."""
    spread = schedule.stretched(agent.schedule, -(-budget // batch))
    return dataclasses.replace(agent, schedule=str(spread))


def search_seeds(
    benchmark: TabularBenchmark, agent: AgentConfig, batch: int, seeds: int
) -> Iterator[Int32]:
    """Search with seeds 0, 1, ...

    Each search equals that of `bqnn.search.master` with lag 0, evaluation by
    evaluation.

    Args:
      benchmark: what is searched.
      agent: which agent; its schedule is the length of the search.
      batch: blocks per iteration.
      seeds: how many searches.

    Yields:
      Indices of the blocks asked, in order, for the next seeds: int32 `[R, N]`, where
      R is `SEEDS_AT_ONCE` or, at the end, less.
    """
    options = runtime.quick_options()
    many = jax.jit(
        jax.vmap(_search_of(benchmark, agent, batch)), compiler_options=options
    )
    starts = range(0, seeds, SEEDS_AT_ONCE)
    with numerics.pinned(), jax.default_device(host()):
        compiled = many.lower(jnp.arange(SEEDS_AT_ONCE)).compile()

    @numerics.pinned()
    def run(start: int) -> Int32:
        # The last part has as many seeds as the others, so one program serves all.
        seeds_here = jax.device_put(
            np.arange(start, start + SEEDS_AT_ONCE, dtype=np.int32)
        )
        return np.asarray(compiled(seeds_here))[: seeds - start]

    with ThreadPoolExecutor(machine.cores()) as pool:
        yield from pool.map(run, starts)


def _search_of(
    benchmark: TabularBenchmark, agent: AgentConfig, batch: int
) -> Callable[[Array], Array]:
    learner = make_learner(benchmark.space, agent, batch)
    rewards = jnp.asarray(benchmark.rewards)
    nothing = jnp.zeros((0, len(benchmark.space.num_actions)), jnp.int32)

    def iterate(state: State, at: tuple[Array, Array]) -> tuple[State, Array]:
        actions = learner.sample(state, *at, nothing)
        indices = benchmark.index_of(actions)
        return learner.tell(state, actions, rewards[indices]), indices

    def search(seed: Array) -> Array:
        """Search with one seed; returns indices, int32 `[N]`."""
        epsilons = jnp.array(learner.epsilons, jnp.float32)
        every = (jnp.arange(len(epsilons)), epsilons)
        return lax.scan(iterate, learner.init(seed), every)[1].reshape(-1)

    return search
