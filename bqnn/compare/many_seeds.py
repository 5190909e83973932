"""A search with many seeds at once over a landscape: no block is trained."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn import machine, numerics
from bqnn.agents import State, make_learner
from bqnn.agents.agent import host
from bqnn.compare.landscape import Landscape
from bqnn.config import AgentConfig, schedule
from bqnn.space.actions import Int32

AT_ONCE = 25
"""Seeds in one program. With more of them, their tables fall out of the caches."""


def for_budget(agent: AgentConfig, budget: int, batch: int) -> AgentConfig:
    """Stretch the schedule of an agent over so many evaluations."""
    spread = schedule.stretched(agent.schedule, -(-budget // batch))
    return dataclasses.replace(agent, schedule=str(spread))


def searches(
    landscape: Landscape, agent: AgentConfig, batch: int, seeds: int
) -> Iterator[Int32]:
    """Search with seeds 0, 1, ...

    The same as `bqnn.search.master` does with lag 0, evaluation by evaluation.

    Args:
      landscape: what is searched.
      agent: which agent; its schedule is the length of the search.
      batch: blocks per iteration.
      seeds: how many searches.

    Yields:
      Places of the blocks asked, in order, for some more of the seeds.  # [<=S, N]
    """
    many = jax.jit(jax.vmap(_search_of(landscape, agent, batch)))
    starts = range(0, seeds, AT_ONCE)
    with numerics.pinned(), jax.default_device(host()):
        compiled = many.lower(jnp.arange(AT_ONCE)).compile()

    @numerics.pinned()
    def run(start: int) -> Int32:
        # The last part is as long as the others: one program for all.
        seeds_here = jax.device_put(np.arange(start, start + AT_ONCE, dtype=np.int32))
        return np.asarray(compiled(seeds_here))[: seeds - start]

    with ThreadPoolExecutor(machine.cores()) as pool:
        yield from pool.map(run, starts)


def _search_of(
    landscape: Landscape, agent: AgentConfig, batch: int
) -> Callable[[Array], Array]:
    learner = make_learner(landscape.space, agent, batch)
    rewards = jnp.asarray(landscape.rewards)

    def iterate(state: State, at: tuple[Array, Array]) -> tuple[State, Array]:
        actions = learner.sample(state, *at)
        places = landscape.place(actions)
        return learner.tell(state, actions, rewards[places]), places

    def search(seed: Array) -> Array:
        """Search with one seed.  # [N], places."""
        epsilons = jnp.array(learner.epsilons, jnp.float32)
        every = (jnp.arange(len(epsilons)), epsilons)
        return lax.scan(iterate, learner.init(seed), every)[1].reshape(-1)

    return search
