"""Searches with many seeds at once over a tabular benchmark.

Where the reward is learnt, the agent begins anew after each round of full trainings. So
a search has legs from round to round, a program each, that first tells all again.
Without rounds it has one leg.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn import machine, numerics, runtime
from bqnn.agents import State, make_learner
from bqnn.agents.agent import host
from bqnn.agents.learner import Learner
from bqnn.compare.learned import Known, Round
from bqnn.compare.tabular import Float32, TabularBenchmark
from bqnn.config import AgentConfig, schedule
from bqnn.space.actions import Int32

SEEDS_AT_ONCE = 25
"""Seeds in one program. The Q-tables of more seeds do not fit into the caches."""

_Leg = Callable[[Int32, Int32, Float32], Array]


class Found(NamedTuple):
    """What R searches found.

    Attributes:
      indices: of the blocks asked, in order, int32 `[R, N]`.
      rewards: of these blocks in the end, float32 `[R, N]`.
      in_full: how many blocks were trained in full in each round, int32 `[R, rounds]`.
    """

    indices: Int32
    rewards: Float32
    in_full: Int32


def for_budget(agent: AgentConfig, budget: int, batch: int) -> AgentConfig:
    """Stretch the schedule of an agent over `budget` evaluations."""
    spread = schedule.stretched(agent.schedule, -(-budget // batch))
    return dataclasses.replace(agent, schedule=str(spread))


def search_seeds(
    benchmark: TabularBenchmark,
    agent: AgentConfig,
    batch: int,
    seeds: int,
    rounds: Sequence[Round] = (),
) -> Iterator[Found]:
    """Search with seeds 0, 1, ...

    Each search equals that of `bqnn.search.master` with lag 0, evaluation by
    evaluation.

    Args:
      benchmark: what is searched.
      agent: which agent; its schedule is the length of the search.
      batch: blocks per iteration.
      seeds: how many searches.
      rounds: of full trainings, from which each search learns its reward.

    Yields:
      What the next seeds found, R of which are `SEEDS_AT_ONCE` or, at the end, less.

    Raises:
      ConfigError: if a front is wanted and the table knows no costs.
    """
    with numerics.pinned(), jax.default_device(host()):
        first, *others = _legs(benchmark, agent, batch, [r.after for r in rounds])
    steps = len(benchmark.space.num_actions)

    @numerics.pinned()
    def run(start: int) -> Found:
        # The last part has as many seeds as the others, so one program serves all.
        part = np.arange(start, start + SEEDS_AT_ONCE, dtype=np.int32)
        nothing = np.zeros((len(part), 0, batch, steps), np.int32)
        asked = np.asarray(first(part, nothing, benchmark.told(agent.goal)))
        known, counts = [Known(benchmark.rewards)] * len(part), []
        for this, leg in zip(rounds, others, strict=True):
            known = [this.hold(*pair) for pair in zip(asked, known, strict=True)]
            counts.append([len(one.in_full) for one in known])
            told = benchmark.actions_of(asked.ravel())
            told = told.reshape(len(part), -1, batch, steps)
            new = leg(part, told, np.stack([one.rewards for one in known]))
            asked = np.concatenate([asked, new], axis=1)
        count, (indices, rewards, in_full) = seeds - start, _found(asked, known, counts)
        return Found(indices[:count], rewards[:count], in_full[:count])

    with ThreadPoolExecutor(machine.cores()) as pool:
        yield from pool.map(run, range(0, seeds, SEEDS_AT_ONCE))


def _found(
    asked: Int32, known: Sequence[Known], counts: Sequence[Sequence[int]]
) -> Found:
    """Lay out what seeds have found.

    Args:
      asked: indices of the blocks, int32 `[R, N]`.
      known: what each seed knows in the end.
      counts: how many blocks each seed has trained in full after each round.
    """
    pairs = zip(asked, known, strict=True)
    rewards = np.stack([one.rewards[row] for row, one in pairs])
    totals = np.array(counts, np.int32).reshape(-1, len(asked))
    return Found(asked, rewards, np.diff(totals, axis=0, prepend=0).T)


def _legs(
    benchmark: TabularBenchmark, agent: AgentConfig, batch: int, after: Sequence[int]
) -> Iterator[_Leg]:
    """Compile a program for each part of a search between two rounds."""
    learner = make_learner(benchmark.space, agent, batch)
    rewards = benchmark.told(agent.goal)
    told = batch, len(benchmark.space.num_actions)
    options, seeds = runtime.quick_options(), jnp.arange(SEEDS_AT_ONCE)
    for start, end in itertools.pairwise([0, *after, len(learner.epsilons)]):
        search = _search_of(benchmark, learner, range(start, end))
        # Before the first round the rewards are the same for all seeds.
        shape = (len(seeds), *rewards.shape) if start else rewards.shape
        arguments = (
            seeds,
            jnp.zeros((len(seeds), start, *told), jnp.int32),
            jnp.zeros(shape, jnp.float32),
        )
        many = jax.jit(
            jax.vmap(search, (0, 0, 0 if start else None)), compiler_options=options
        )
        yield many.lower(*arguments).compile()


def _search_of(
    benchmark: TabularBenchmark, learner: Learner, iterations: range
) -> Callable[[Array, Array, Array], Array]:
    nothing = jnp.zeros((0, len(benchmark.space.num_actions)), jnp.int32)

    def search(seed: Array, told: Array, rewards: Array) -> Array:
        """Tell the batches before, int32 `[before, B, T]`; ask those of `iterations`.

        Returns:
          Indices, int32 `[N]`.
        """

        def tell(state: State, actions: Array) -> tuple[State, Array]:
            indices = benchmark.index_of(actions)
            return learner.tell(state, actions, rewards[indices]), indices

        def iterate(state: State, at: tuple[Array, Array]) -> tuple[State, Array]:
            return tell(state, learner.sample(state, *at, nothing))

        state, _ = lax.scan(tell, learner.init(seed), told)
        epsilons = jnp.array([learner.epsilons[k] for k in iterations], jnp.float32)
        every = (jnp.arange(iterations.start, iterations.stop), epsilons)
        return lax.scan(iterate, state, every)[1].reshape(-1)

    return search
