"""The agent: what it samples, what it learns, that its state is a value."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents import qtable, replay
from bqnn.agents.agent import Agent, AgentState, digest, make_agent
from bqnn.agents.q import _sample_batch, greedy_actions
from bqnn.config import AgentConfig, Config, SearchConfig
from bqnn.errors import ConfigError, SearchError
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import Block, parse

# The digests known below came out of full compilation: they hold in either.
pytestmark = pytest.mark.quick_compilation


@functools.cache
def _agent(
    max_layers: int = 3, batch: int = 64, seed: int = 0, **fields: Any
) -> tuple[NscSpace, Agent]:
    space = NscSpace(max_layers)
    config = AgentConfig(schedule="1.0:20,0.0:20", **fields)
    return space, make_agent(
        space, Config(agent=config, search=SearchConfig(batch, seed=seed))
    )


def test_a_random_action_is_uniform_over_all_legal_codes() -> None:
    _, agent = _agent(max_layers=2, batch=4000)
    actions, info = agent.ask(agent.init(), 0)
    assert info.epsilon == 1.0
    counts = np.bincount(actions[:, 0], minlength=8)
    assert counts.min() > 400 and counts.max() < 600  # 500 expected, 8 deviations
    counts = np.bincount(actions[:, 1], minlength=19)
    assert counts.min() > 130 and counts.max() < 300  # 4000 / 19 = 210 expected


def test_exploration_by_types_draws_the_type_first() -> None:
    space, agent = _agent(max_layers=2, batch=7000, exploration="types")
    actions, _ = agent.ask(agent.init(), 0)
    first = [code.type for code in (space.decode(a).layers[0] for a in actions)]
    # Four types are legal at index 1; Add, Concat and Terminal are not.
    assert set(first) == {1, 2, 3, 4}
    assert min(first.count(kind) for kind in range(1, 5)) > 1600
    # All seven types at index 2: Terminal, one code of 19, comes a seventh of the time.
    assert 850 < (actions[:, 1] == space.arrays.stop[1]).sum() < 1150


def test_exploration_by_types_writes_shorter_blocks() -> None:
    lengths = {}
    for rule in ("codes", "types"):
        space, agent = _agent(max_layers=23, exploration=rule)
        actions, _ = agent.ask(agent.init(), 0)
        lengths[rule] = np.mean([len(space.decode(row)) for row in actions])
    assert lengths["codes"] > 17
    assert lengths["types"] < 9


def test_every_sampled_block_is_valid_and_encodes_back() -> None:
    space, agent = _agent(max_layers=9)
    actions, _ = agent.ask(agent.init(), 0)
    for row in actions:
        np.testing.assert_array_equal(space.encode(space.decode(row)), row)


def test_without_exploration_the_largest_q_value_decides() -> None:
    space, agent = _agent()
    block = parse("1,3,3,0,0;2,1,5,1,0;3,6,0,0,2")
    state = agent.init()
    rule = qtable.UpdateRule(0.5, 1.0, True)
    a_t = jnp.asarray(space.encode(block))
    update = jax.jit(functools.partial(qtable.update, space.arrays, rule))
    q = update(state.q_values, a_t, jnp.float32(1))
    actions, info = agent.ask(state._replace(q_values=q), 20)
    assert info.epsilon == 0.0
    assert {space.decode(row) for row in actions} == {block}


def test_ties_are_broken_at_random_and_evenly() -> None:
    _, agent = _agent(batch=4000)
    actions, _ = agent.ask(agent.init(), 20)
    counts = np.bincount(actions[:, 0], minlength=8)
    assert counts.min() > 400 and counts.max() < 600


def test_a_batch_depends_on_seed_iteration_and_state_alone() -> None:
    _, agent = _agent()
    state = agent.init()
    first, _ = agent.ask(state, 3)
    again, _ = agent.ask(state, 3)
    np.testing.assert_array_equal(first, again)
    assert (agent.ask(state, 4)[0] != first).any()
    _, other = _agent(seed=1)
    assert (other.ask(other.init(), 3)[0] != first).any()


def _tell_random(agent: Agent, state: AgentState, times: int) -> AgentState:
    rng = np.random.default_rng(0)
    for iteration in range(times):
        actions, _ = agent.ask(state, iteration)
        state = agent.tell(state, actions, rng.random(len(actions), np.float32))
    return state


def test_telling_is_deterministic_and_counts() -> None:
    _, agent = _agent()
    one = _tell_random(agent, agent.init(), 5)
    _, twin = _agent.__wrapped__()
    other = _tell_random(twin, twin.init(), 5)
    assert digest(one) == digest(other)
    assert int(one.iteration) == 5
    assert int(one.memory.size) == 5 * 64


def test_the_state_of_a_known_history_has_a_known_digest() -> None:
    # Computed once; it must come out on every machine and with every jax version.
    _, agent = _agent(max_layers=6, alpha=0.01, replay_updates=64)
    state = _tell_random(agent, agent.init(), 10)
    assert digest(state)[:16] == "4db5deca683468f9"


@pytest.mark.parametrize(
    ("max_layers", "exploration", "known"),
    [
        (23, "codes", "c3fd52e95e257f4d"),
        (23, "types", "b7dfbfdaffc7ae66"),
        (2, "codes", "cf2a4ccb8db4704b"),
        (1, "types", "cdaafa0c667d295d"),
    ],
)
def test_half_greedy_searches_have_known_digests(
    max_layers: int, exploration: str, known: str
) -> None:
    space = NscSpace(max_layers)
    config = AgentConfig(schedule="0.5:6", exploration=exploration)
    agent = make_agent(space, Config(agent=config, search=SearchConfig(64)))
    assert digest(_tell_random(agent, agent.init(), 6))[:16] == known


def test_every_bit_of_the_state_is_in_the_digest() -> None:
    _, agent = _agent()
    state = _tell_random(agent, agent.init(), 1)
    q = np.array(state.q_values)
    q[3] = np.nextafter(q[3], np.float32(2))
    assert digest(state._replace(q_values=jnp.asarray(q))) != digest(state)
    assert digest(state._replace(iteration=jnp.int32(7))) != digest(state)


def test_learning_without_replay_uses_the_batch_just_told() -> None:
    space, agent = _agent(max_layers=2, batch=2, replay_updates=0, alpha=0.5)
    blocks = [parse("1,1,3,0,0"), parse("1,4,0,0,0;2,4,0,1,0")]
    actions = np.stack([space.encode(block) for block in blocks])
    rewards = np.array([0.5, 0.25], np.float32)
    state = agent.tell(agent.init(), actions, rewards)
    rule, q = qtable.UpdateRule(0.5, 1.0, True), agent.init().q_values
    update = jax.jit(functools.partial(qtable.update, space.arrays, rule))
    for row, reward in zip(actions, rewards, strict=True):
        q = update(q, row, reward)
    np.testing.assert_array_equal(state.q_values, q)


def _likeness(space: NscSpace, block: Block, best: Block) -> float:
    """A reward known for every block: the share of codes that match `best`."""
    return float(np.mean(space.encode(block) == space.encode(best)))


@pytest.mark.parametrize(
    "text", ["1,1,3,0,0;2,2,3,1,0;3,5,0,1,2", "1,3,1,0,0;2,6,0,0,1;3,1,5,2,0"]
)
def test_after_training_the_greedy_block_is_the_best_one(text: str) -> None:
    space, agent = _agent(alpha=0.1, replay_updates=256)
    best = parse(text)
    state = agent.init()
    for iteration in range(40):
        actions, _ = agent.ask(state, iteration)
        rewards = [_likeness(space, space.decode(row), best) for row in actions]
        state = agent.tell(state, actions, np.array(rewards, np.float32))
    found = greedy_actions(space.arrays, np.asarray(state.q_values))
    assert space.decode(found) == best


def test_shaped_rewards_do_not_shorten_the_greedy_blocks() -> None:
    lengths = {}
    for shaped in (True, False):
        space, agent = _agent(
            max_layers=6, alpha=0.1, shaped=shaped, exploration="types"
        )
        state = agent.init()
        found: list[int] = []
        for iteration in range(40):
            actions, info = agent.ask(state, iteration)
            sizes = np.array([len(space.decode(row)) for row in actions])
            # Longer is a little better, and all rewards are alike: as accuracies are.
            rewards = (0.6 + 0.02 * sizes).astype(np.float32)
            state = agent.tell(state, actions, rewards)
            found += sizes.tolist() if info.epsilon == 0.0 else []
        lengths[shaped] = np.mean(found)
    assert lengths[True] >= lengths[False]


def test_states_are_values() -> None:
    _, agent = _agent()
    state = agent.init()
    before = digest(state)
    actions, _ = agent.ask(state, 0)
    rewards = np.linspace(0, 1, 64, dtype=np.float32)
    first, again = (agent.tell(state, actions, rewards) for _ in range(2))
    assert digest(state) == before != digest(first)
    assert digest(first) == digest(again)


def test_a_donating_tell_gives_the_same_and_deletes_what_it_was_given() -> None:
    _, agent = _agent()
    state = agent.init()
    actions, _ = agent.ask(state, 0)
    rewards = np.linspace(0, 1, 64, dtype=np.float32)
    kept = agent.tell(state, actions, rewards)
    taken = agent.tell_donating(state, actions, rewards)
    assert digest(taken) == digest(kept)
    assert state.q_values.is_deleted()


@pytest.mark.parametrize("name", ["q", "evolution", "random"])
def test_beyond_the_schedule_nothing_is_asked_or_told(name: str) -> None:
    config = AgentConfig(name=name, schedule="1.0:2", exploration="types")
    agent = make_agent(NscSpace(2), Config(agent=config, search=SearchConfig(4)))
    state = _tell_random(agent, agent.init(), 2)
    for iteration in (-1, 2):
        with pytest.raises(SearchError, match=rf"iteration {iteration} .* 2 from 0"):
            agent.ask(state, iteration)
    actions, _ = agent.ask(state, 1)
    with pytest.raises(SearchError, match=r"iteration 2 .* 2 from 0"):
        agent.tell(state, actions, np.zeros(4, np.float32))


def test_a_batch_that_does_not_fit_is_not_told() -> None:
    _, agent = _agent(batch=2)
    state = agent.init()
    actions, _ = agent.ask(state, 0)
    for wrong, rewards in (
        (np.repeat(actions, 2, axis=0), [0.0] * 4),
        (actions[:0], []),
        (actions, [0.0]),
        (actions, [0.0, np.nan]),
    ):
        with pytest.raises(SearchError, match="told"):
            agent.tell(state, wrong, np.array(rewards, np.float32))
    assert int(agent.tell(state, actions[:1], np.array([0.5])).memory.size) == 1


def test_without_the_cpu_there_is_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(backend: str) -> None:
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", unknown)
    with pytest.raises(ConfigError, match=r"JAX_PLATFORMS=.* want cpu among them"):
        _agent.__wrapped__()


def test_the_agent_compiles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sample_batch = chex.assert_max_traces(_sample_batch, 1)
    monkeypatch.setattr("bqnn.agents.q._sample_batch", sample_batch)
    monkeypatch.setattr(qtable, "update", chex.assert_max_traces(qtable.update, 1))
    _, agent = _agent.__wrapped__()
    _tell_random(agent, agent.init(), 4)


def test_replay_draws_only_from_what_was_told() -> None:
    memory = replay.init(capacity=10, steps=2)
    actions = np.array([[1, 2], [3, -1], [5, 6]], np.int32)
    told = jnp.asarray(actions), jnp.float32([1, 2, 3])
    memory = replay.add(NscSpace(2).arrays, memory, *told)
    assert int(memory.size) == 3
    draw = jax.jit(replay.sample, static_argnums=2)
    drawn, rewards = draw(memory, jax.random.key(0), 200)
    assert set(np.asarray(rewards).tolist()) == {1.0, 2.0, 3.0}
    for row, reward in zip(np.asarray(drawn), np.asarray(rewards), strict=True):
        np.testing.assert_array_equal(row, actions[int(reward) - 1])
