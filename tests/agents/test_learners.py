"""The contract of all learners, and what is special about each."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents import LEARNERS, digest, make_agent, make_learner, novelty, replay
from bqnn.agents.agent import Agent
from bqnn.config import AgentConfig, Config, EvolutionConfig, QConfig, SearchConfig
from bqnn.search import digests, journal
from bqnn.search.events import Evaluated
from bqnn.search.fold import fold
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.space.actions import NscSpace
from bqnn.space.keys import row_key
from bqnn.space.nasbench201 import NasBench201Space
from bqnn.space.nsc import canonical_hash, format, parse
from tests.helpers.searches import (
    TableExecutor,
    digests_of,
    problem_of,
    run_search,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

SWITCHES: dict[str, Any] = {
    "replay_newest": 2,
    "replay_best": 2,
    "distinct": True,
}


def _agent(name: str, **fields: Any) -> AgentConfig:
    config = AgentConfig(name=name, schedule="1.0:3,0.5:3,0.1:3", **fields)
    plus = dataclasses.replace(config.q_plus, replay_updates=16, **SWITCHES)
    return dataclasses.replace(config, q_plus=plus)


WIRED = ("q_model", ("residual", "dense"))


def _search(name: str, wirings: tuple[str, ...] = ()) -> Config:
    """A search of several tests: its agent is compiled once."""
    plus = {**SWITCHES, "replay_updates": 16}
    agent = {"name": name, "q_plus": plus}
    return tiny_config(agent=agent, space={"wirings": wirings})


def _searcher(
    name: str, wirings: tuple[str, ...] = ()
) -> tuple[Any, AgentConfig, Agent]:
    work = problem_of(_search(name, wirings))
    return work.space, work.config.agent, work.agent


def _cell_searcher() -> tuple[Any, AgentConfig, Agent]:
    space, agent = NasBench201Space(), _agent("q_plus")
    return space, agent, make_agent(space, Config(agent=agent, search=SearchConfig(4)))


@pytest.mark.parametrize(
    "make",
    [
        *(functools.partial(_searcher, name) for name in LEARNERS),
        functools.partial(_searcher, *WIRED),
        _cell_searcher,
    ],
)
def test_many_seeds_at_once_are_the_same_valid_searches(
    make: Callable[[], tuple[Any, AgentConfig, Agent]],
) -> None:
    space, config, agent = make()
    learner = make_learner(space.arrays, config, batch=4)
    together = jax.jit(jax.vmap(learner.init))(jnp.arange(2))
    # The agent itself asks with rows of -1, which change nothing.
    nothing = jnp.zeros((0, len(space.arrays.num_actions)), jnp.int32)

    def sample(state: Any, iteration: Any, epsilon: Any) -> jax.Array:
        return learner.sample(state, iteration, epsilon, nothing)

    def tell(*arguments: Any) -> Any:
        return learner.tell(*arguments)

    # Whatever the iteration and the epsilon, it compiles once.
    chex.clear_trace_counter()
    sample, tell = (chex.assert_max_traces(f, 1) for f in (sample, tell))
    sample_all = jax.jit(jax.vmap(sample, in_axes=(0, None, None)))
    tell_all = jax.jit(jax.vmap(tell))
    apart = agent.init()
    for iteration, epsilon in enumerate(learner.epsilons):
        actions = sample_all(together, np.int32(iteration), np.float32(epsilon))
        before = digest(apart)
        asked, info = agent.ask(apart, iteration)
        np.testing.assert_array_equal(asked, actions[0])
        assert info.epsilon == epsilon
        assert digest(apart) == before
        for row in asked:
            np.testing.assert_array_equal(space.encode(space.decode(row)), row)
        rewards = (actions.sum(axis=2) % 7).astype(jnp.float32) / 7
        together = tell_all(together, actions, rewards)
        apart = agent.tell(apart, actions[0], rewards[0])
    first, second = (jax.tree.map(lambda x, i=i: x[i], together) for i in (0, 1))
    assert digest(first) == digest(apart) != digest(second)


@pytest.mark.parametrize(
    ("name", "wirings"),
    [*((name, ()) for name in LEARNERS), WIRED],
)
def test_a_stopped_search_goes_on_and_replays(
    name: str,
    wirings: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Small as the state is, the changes of a batch are hashed instead.
    monkeypatch.setattr(digests, "BYTES_PER_CANDIDATE", 1)
    config = _search(name, wirings)
    events = run_search(tmp_path / "whole", config, TableExecutor())
    work, stopped = problem_of(config), tmp_path / "stopped"
    run = Run(config, work.images, "none", {})
    for limit in (10, None):
        with journal.create_or_open(stopped) as facts:
            facts.start(run)
            limits = Limits(candidates=limit)
            later = list(search(work, facts, TableExecutor(), limits))
    assert digests_of(later) == digests_of(events)
    assert any(e.recorded for e in later if isinstance(e, Evaluated))
    with journal.open_readonly(stopped) as facts:
        replayed = list(fold(work, facts.history()))
    assert digests_of(replayed) == digests_of(events)


def test_q_plus_without_its_switches_is_q() -> None:
    space = NscSpace(4)
    fields: dict[str, Any] = {"alpha": 0.25, "replay_updates": 8, "q_init": 0.5}
    schedule = "1.0:2,0.5:2"
    q = AgentConfig(schedule=schedule, **fields)
    plus = AgentConfig(
        name="q_plus",
        schedule=schedule,
        q_plus=QConfig(schedule="1.0:1,0.5:1", **fields),
    )
    found = []
    for config in (q, plus):
        agent = make_agent(space, Config(agent=config, search=SearchConfig(4)))
        state = agent.init()
        for iteration in range(4):
            actions, _ = agent.ask(state, iteration)
            state = agent.tell(state, actions, actions[:, 0].astype(np.float32) / 8)
        found.append(digest(state))
    assert found[0] == found[1]


@functools.cache
def _small_agent(name: str, by: str | None) -> Agent:
    """An agent that asks for two blocks of one layer."""
    switches: dict[str, Any] = {"unique": by == "unique", "distinct": by == "distinct"}
    plus = dataclasses.replace(_agent("q_plus").q_plus, **switches)
    config = dataclasses.replace(_agent(name, **switches), q_plus=plus)
    return make_agent(NscSpace(1), Config(agent=config, search=SearchConfig(2)))


# One layer has 8 codes, of which three compute nothing: 6 functions.
@pytest.mark.parametrize(
    ("name", "by", "number"),
    [
        ("q_plus", "unique", 8),
        ("q_plus", "distinct", 6),
        ("random", "distinct", 6),
        ("local", None, 6),
    ],
)
def test_what_was_told_is_not_asked_again_while_there_is_something_else(
    name: str, by: str | None, number: int
) -> None:
    space, agent = NscSpace(1), _small_agent(name, by)
    state, seen = agent.init(), []
    for iteration in range(9):
        actions, _ = agent.ask(state, iteration)
        assert len({int(a) for a in actions[:, 0]}) == 2 or iteration >= number // 2
        blocks = [space.decode(row) for row in actions]
        seen += [format(b) if by == "unique" else canonical_hash(b) for b in blocks]
        state = agent.tell(state, actions, np.full(2, 0.5, np.float32))
    # Eight random tries may miss what is left; a few batches of them hardly do.
    assert len(set(seen[:number])) >= number - 1
    assert len(set(seen)) == number


@pytest.mark.parametrize(("name", "by"), [("q_plus", "distinct"), ("local", None)])
def test_what_is_in_flight_is_not_asked_again(name: str, by: str | None) -> None:
    space, agent = NscSpace(1), _small_agent(name, by)
    state = agent.init()
    flying = space.encode(parse("1,1,3,0,0")), space.encode(parse("1,4,0,0,0"))
    for iteration in range(2):  # all random: a new block is found
        actions, _ = agent.ask(state, iteration, flying)
        hashes = {canonical_hash(space.decode(row)) for row in actions}
        assert not hashes & {canonical_hash(space.decode(row)) for row in flying}


def test_the_first_new_proposal_is_taken_and_epsilon_rises_to_one() -> None:
    told = jnp.array([[1, -1], [2, -1], [-1, -1]], jnp.int32)
    seen_epsilons: list[float] = []

    def propose(keys: Any, epsilons: jax.Array) -> jax.Array:
        seen_epsilons.extend(np.asarray(epsilons).tolist())
        first = jnp.arange(len(keys)) % novelty.TRIES + 1
        return jnp.stack([first.astype(jnp.int32), jnp.full(len(keys), -1)], axis=1)

    asking = novelty.Asking(jax.random.key(0), 2, jnp.float32(0.1))
    known = jax.vmap(row_key)(told)
    blocks = novelty.choose(propose, row_key, known, told[:0], asking)
    # 1 and 2 were told; the second slot may not take what the first one took.
    assert blocks.tolist() == [[3, -1], [4, -1]]
    assert seen_epsilons[:2] == pytest.approx([0.1, 0.1 + 0.9 / 7])
    assert seen_epsilons[novelty.TRIES - 1] == 1.0


def test_replay_can_prefer_the_new_and_the_good() -> None:
    memory = replay.init(capacity=8, steps=1)
    rewards = np.array([0.9, 0.1, 0.2, 0.3], np.float32)
    added = np.arange(4, dtype=np.int32)[:, None]
    told = jnp.asarray(added), jnp.asarray(rewards)
    memory = replay.add(NscSpace(1).arrays, memory, *told)
    means = {}
    for newest, best in ((1, 1), (3, 1), (1, 3)):
        draw = jax.jit(replay.sample, static_argnums=(2, 3, 4))
        sampled = draw(memory, jax.random.key(1), 4000, newest, best)
        actions, drawn = map(np.asarray, sampled)
        np.testing.assert_array_equal(rewards[actions[:, 0]], drawn)
        means[newest, best] = float(actions.mean()), float(drawn.mean())
    # The largest of three draws from 0..3: (1 * 7 + 2 * 19 + 3 * 37) / 64.
    assert means[3, 1][0] == pytest.approx(156 / 64, abs=0.05)
    assert means[1, 1][0] == pytest.approx(1.5, abs=0.07)
    # The best of three: 0.9 unless all three miss it, 27 / 64.
    assert means[1, 3][1] > 0.9 * 37 / 64


def test_evolution_keeps_the_youngest_and_mutates_the_best_of_its_sample() -> None:
    space = NscSpace(3)
    evolution = EvolutionConfig(population=4, sample=50)
    config = AgentConfig(name="evolution", schedule="1.0:9", evolution=evolution)
    learner = make_learner(space.arrays, config, batch=2)
    best, rest = parse("1,1,5,0,0;2,1,5,1,0;3,1,5,2,0"), parse("1,4,0,0,0")
    state = learner.init(0)
    for rewards, blocks in (
        ([0.9, 0.1], [best, rest]),
        ([0.2, 0.3], [rest, rest]),
    ):
        rows = jnp.asarray(np.stack([space.encode(block) for block in blocks]))
        state = learner.tell(state, rows, jnp.float32(rewards))
    assert state.rewards.tolist() == pytest.approx([0.9, 0.1, 0.2, 0.3])
    # Fifty draws of four miss the best once in a million times.
    nothing = jnp.zeros((0, 3), jnp.int32)
    asked = learner.sample(state, jnp.int32(2), jnp.float32(0), nothing)
    for row in np.asarray(asked):
        layers = space.decode(row).layers
        kept = [a == b for a, b in zip(layers, best.layers, strict=False)]
        assert sum(kept) >= len(kept) - 1
    older = learner.tell(state, asked, jnp.float32([0.5, 0.6]))
    # The best was the oldest: it dies.
    assert older.rewards.tolist() == pytest.approx([0.2, 0.3, 0.5, 0.6])


def test_the_model_finds_what_random_search_does_not() -> None:
    space = NscSpace(5)
    kernels = jnp.asarray(space.arrays.codes[..., 1])
    best = {}
    for name in ("random", "q_model"):
        config = AgentConfig(name=name, schedule="1.0:4,0.1:12")
        learner = make_learner(space.arrays, config, batch=4)
        nothing = jnp.zeros((0, 5), jnp.int32)

        def iterate(
            state: Any, at: Any, learner: Any = learner, nothing: Any = nothing
        ) -> Any:
            actions = learner.sample(state, *at, nothing)
            chosen = kernels[jnp.arange(5)[None], jnp.maximum(actions, 0)]
            # Blocks of five 5x5 convolutions are the best; a random one in 4,000.
            total = jnp.where(actions >= 0, chosen, 0).sum(axis=1)
            rewards = total.astype(jnp.float32) / 25
            return learner.tell(state, actions, rewards), rewards.max()

        every = jnp.arange(16), jnp.array(learner.epsilons, jnp.float32)

        def search(
            seed: Any, learner: Any = learner, iterate: Any = iterate, at: Any = every
        ) -> Any:
            return jax.lax.scan(iterate, learner.init(seed), at)[1]

        found = jax.jit(jax.vmap(search))(jnp.arange(4))
        best[name] = float(found[:, -4:].mean())
    assert best["q_model"] > best["random"] + 0.2


def test_an_absurd_lag_asks_for_no_more_memory_than_the_search() -> None:
    space = NscSpace(2)
    search = SearchConfig(4, lag=1_000_000)
    agent = make_agent(space, Config(agent=_agent("q_plus"), search=search))
    actions, _ = agent.ask(agent.init(), 0, [space.encode(parse("1,1,3,0,0"))])
    assert actions.shape == (4, 2)
