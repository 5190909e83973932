"""Agents: Q-learning compared with plain Python, and many seeds at once."""

import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.dict_agent import DictAgent, Rule, Steps
from bqnn import numerics
from bqnn.agents import make_learner
from bqnn.agents.agent import Agent, AgentState, host, make_agent
from bqnn.config import AgentConfig, Config, SearchConfig, schedule
from bqnn.space.actions import NscSpace, Space


class AgentTimes(NamedTuple):
    """Seconds of whole searches, evaluations excluded, after compilation.

    Attributes:
      iterations: iterations of each search.
      ours: median of one search by `bqnn.agents.agent` as the master runs it, with
        `tell_donating`.
      kept: the same with `tell`, where every state stays a value.
      rival: median of one search by the dictionary.
      seeds: number of searches of `vmapped`.
      vmapped: all of those searches together.
    """

    iterations: int
    ours: float
    kept: float
    rival: float
    seeds: int
    vmapped: float

    @property
    def speedup(self) -> float:
        """Time of the dictionary divided by ours."""
        return self.rival / self.ours

    @property
    def seeds_ratio(self) -> float:
        """Time of all `seeds` at once divided by that of one search."""
        return self.vmapped / self.ours


def measure(
    iterations: int = 178,
    batch: int = 64,
    replay_updates: int = 64,
    max_layers: int = 23,
    seeds: int = 100,
    repeats: int = 3,
    at_once: int = 20,
) -> AgentTimes:
    """Time searches by both learners in turn, then ours over many seeds.

    Args:
      iterations: iterations of each search; the paper's schedule is stretched to them.
      batch: blocks per iteration.
      replay_updates: updates per iteration.
      max_layers: the largest number of layers of a block.
      seeds: R, searches that are vectorised.
      repeats: the median of so many searches is returned.
      at_once: searches in one `vmap`; the next ones follow. With more of them, their
        tables do not fit in the processor's caches.
    """
    blocks = NscSpace(max_layers)
    space = blocks.arrays
    thinned = schedule.stretched(schedule.PAPER, iterations)
    config = AgentConfig(schedule=str(thinned), replay_updates=replay_updates)
    agent = make_agent(blocks, Config(agent=config, search=SearchConfig(batch)))
    letting_go = agent._replace(tell=agent.tell_donating)
    for compiling in (letting_go, agent):
        _ours(compiling, iterations)
    times = [
        (
            _ours(letting_go, iterations),
            _ours(agent, iterations),
            _rival(space, config, batch),
        )
        for _ in range(repeats)
    ]
    ours, kept, rival = (
        statistics.median(column) for column in zip(*times, strict=True)
    )
    many = _vmapped(space, config, batch, seeds, at_once)
    return AgentTimes(iterations, ours, kept, rival, seeds, many)


def summary(times: AgentTimes) -> str:
    """Write the result in a few lines."""
    return (
        f"agent: {times.iterations} iterations of ask and tell in {times.ours:.2f} s, "
        f"{times.kept:.2f} s where every state is kept; "
        f"a Python dictionary {times.rival:.2f} s, x {times.speedup:.1f}\n"
        f"{times.seeds} seeds in one program: {times.vmapped:.1f} s, "
        f"{times.seeds_ratio:.0f} times one"
    )


def _ours(agent: Agent, iterations: int) -> float:
    state = jax.block_until_ready(agent.init())
    start = time.perf_counter()
    for iteration in range(iterations):
        actions, _ = agent.ask(state, iteration)
        rewards = np.maximum(actions, 0).sum(axis=1) % 97 / 97
        state = agent.tell(state, actions, rewards.astype(np.float32))
    jax.block_until_ready(state)
    return time.perf_counter() - start


def _rival(space: Space, config: AgentConfig, batch: int) -> float:
    steps = Steps(space.num_actions.tolist(), space.stop.tolist())
    rule = Rule(
        config.alpha, config.gamma, config.shaped, config.replay_updates, config.q_init
    )
    agent = DictAgent(steps, rule, seed=0)
    start = time.perf_counter()
    for epsilon in schedule.parse(config.schedule).epsilons:
        blocks = agent.ask(epsilon, batch)
        agent.tell(blocks, [sum(actions) % 97 / 97 for actions in blocks])
    return time.perf_counter() - start


def _vmapped(
    space: Space, config: AgentConfig, batch: int, seeds: int, at_once: int
) -> float:
    learner = make_learner(space, config, batch)
    nothing = jnp.zeros((0, len(space.num_actions)), jnp.int32)
    epsilons = jnp.array(schedule.parse(config.schedule).epsilons, jnp.float32)

    def iterate(state: AgentState, at: tuple[Array, Array]) -> tuple[AgentState, Array]:
        actions = learner.sample(state, *at, nothing)
        rewards = (jnp.maximum(actions, 0).sum(axis=1) % 97).astype(jnp.float32) / 97
        return learner.tell(state, actions, rewards), rewards.mean()

    def search(seed: Array) -> Array:
        """Search with one seed; returns the mean reward of every iteration."""
        every = (jnp.arange(len(epsilons)), epsilons)
        return lax.scan(iterate, learner.init(seed), every)[1]

    many = jax.jit(lambda seeds: lax.map(search, seeds, batch_size=at_once))
    with numerics.pinned(), jax.default_device(host()):
        compiled = many.lower(jnp.arange(seeds)).compile()
        start = time.perf_counter()
        jax.block_until_ready(compiled(jnp.arange(seeds)))
    return time.perf_counter() - start
