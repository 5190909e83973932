"""Agent: ask for a batch of blocks, tell their rewards (the paper, Q-learning)."""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.typing import ArrayLike

from bqnn import numerics, runtime
from bqnn.agents.evolution import make_evolution
from bqnn.agents.learner import Learner, State, key_of_draw
from bqnn.agents.local_search import make_local
from bqnn.agents.q import make_q, make_q_plus
from bqnn.agents.q_model import make_q_model
from bqnn.agents.random_search import make_random
from bqnn.config import AgentConfig, Config, SearchConfig
from bqnn.errors import ConfigError, SearchError, quote
from bqnn.space.actions import ActionSpace, Int32, Space

LEARNERS: dict[str, Callable[[Space, AgentConfig, int, int], Learner]] = {
    "q": make_q,
    "q_plus": make_q_plus,
    "random": make_random,
    "evolution": make_evolution,
    "local": make_local,
    "q_model": make_q_model,
}
"""Learners by the name that `config.agent.name` takes."""

AgentState = State
_Tell = Callable[[AgentState, ArrayLike, ArrayLike], AgentState]


class AskInfo(NamedTuple):
    """Information about an ask, to report only: the epsilon that it used."""

    epsilon: float


class _Ask(Protocol):
    def __call__(
        self,
        state: AgentState,
        iteration: int | None = None,
        pending: Sequence[Int32] = (),
        draw: int = 0,
    ) -> tuple[Int32, AskInfo]: ...


class Agent(NamedTuple):
    """A learner bound to a seed, a schedule and the host. Its states are values.

    Attributes:
      init: () -> the first state.
      ask: (state, iteration, pending, draw) -> (actions, info); actions are int32
        `[B, T]`. Samples the batch of that iteration; of the one that the state is at
        if it is None. Pending are rows that were asked before and are not told yet.
        Draws from 1 on are further samples of the batch, each more random.
      tell: (state, actions `[<=B, T]`, rewards `[<=B]`) -> the next state. With
        `agent.goal=front` rewards are `[<=B, V]`: the reward, and minus ln(cost),
        of one cost or two.
      tell_donating: as `tell`, but the state given is lost, since its buffers are
        reused: for a loop that keeps the newest state only. This saves a copy of a
        table of 10 MB.
      iterations: of the schedule, each a batch to ask and to tell.
      changes: (state) -> arrays that hold all that the last `tell` of a whole batch has
        written.

    Raises:
      SearchError: `ask` and `tell`, if the iteration is beyond the schedule; `tell`, if
        there are more blocks than in a batch, or rewards that are not finite.
    """

    init: Callable[[], AgentState]
    ask: "_Ask"
    tell: _Tell
    tell_donating: _Tell
    iterations: int
    changes: Callable[[AgentState], Any]


def make_learner(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build the learner that the configuration names.

    Args:
      space: the decision process.
      config: which learner, and its fields.
      batch: B, blocks per iteration.
      learnt: blocks told before those of the first iteration.
    """
    return LEARNERS[config.name](space, config, batch, learnt)


def make_agent(space: ActionSpace, config: Config, learnt: int = 0) -> Agent:
    """Build the agent that `config.agent` names.

    >>> agent = bqnn.make_agent(bqnn.NscSpace(max_layers=5), bqnn.Config())
    >>> actions, info = agent.ask(agent.init())

    Args:
      space: the blocks to choose from; its `decode` turns a row of actions into one.
      config: `config.search` has the batch size and the seed.
      learnt: results of earlier searches that are told before those of the first
        iteration, in batches of `search.batch` and a rest. They count as no iteration.

    Raises:
      ConfigError: if jax may not use the host's CPU.
    """
    search = config.search
    learner = make_learner(space.arrays, config.agent, search.batch, learnt)
    iterations, before = len(learner.epsilons), -(-learnt // search.batch)
    jit = functools.partial(jax.jit, compiler_options=runtime.quick_options())
    least = _usually_pending(search, iterations) if learner.heeds_pending else 0
    none = np.full((least, len(space.arrays.num_actions)), -1, np.int32)
    cpu = host()

    @numerics.pinned()
    def init() -> AgentState:
        with jax.default_device(cpu):
            state = learner.init(search.seed)
        return jax.device_put(state, cpu)

    told = search.batch, *config.agent.told
    tell = functools.partial(_tell, told, before, iterations)
    return Agent(
        init,
        functools.partial(_ask, learner, jit(learner.sample), before, none),
        functools.partial(tell, jit(learner.tell)),
        functools.partial(tell, jit(learner.tell, donate_argnums=0)),
        iterations,
        numerics.pinned()(jit(learner.changes)),
    )


@numerics.pinned()
def _ask(
    learner: Learner,
    sample: Callable[..., jax.Array],
    before: int,
    none: Int32,
    state: AgentState,
    iteration: int | None = None,
    pending: Sequence[Int32] = (),
    draw: int = 0,
) -> tuple[Int32, AskInfo]:
    """Sample a batch.

    Args:
      learner: what asks.
      sample: its `sample`, compiled.
      before: batches told before the first.
      none: rows of -1, as many as are pending at most asks; none if the learner does
        not heed them.
      state: all that was told.
      iteration: the batch; by default the one that the state is at.
      pending: rows that were asked before and are not told yet.
      draw: how often the batch was sampled before.
    """
    if iteration is None:
        iteration = int(state.iteration) - before
    _check_iteration(iteration, len(learner.epsilons))
    epsilon = learner.epsilons[iteration]
    if draw:
        state = state._replace(key=key_of_draw(state.key, draw))
        epsilon += (1 - epsilon) * (draw / (draw + 1))
    rows = _padded(pending if learner.heeds_pending else (), none)
    actions = sample(state, np.int32(iteration), np.float32(epsilon), rows)
    return np.asarray(actions), AskInfo(epsilon)


@numerics.pinned()
def _tell(
    told: tuple[int, ...],
    before: int,
    iterations: int,
    learn: _Tell,
    state: AgentState,
    actions: ArrayLike,
    rewards: ArrayLike,
) -> AgentState:
    """Check what is told, and learn it.

    Args:
      told: shape of the rewards of a whole batch.
      before: batches that may precede the first.
      iterations: of the schedule.
      learn: the learner's `tell`.
      state: the state before.
      actions: blocks, int32 `[<=B, T]`.
      rewards: what is told of them.
    """
    _check_iteration(max(0, int(state.iteration) - before), iterations)
    _check_batch(np.shape(actions), np.asarray(rewards), told)
    return learn(state, np.asarray(actions, np.int32), np.asarray(rewards, np.float32))


def _usually_pending(search: SearchConfig, iterations: int) -> int:
    """Count what is in flight at most asks, so that one program serves them."""
    lag = min(search.lag, iterations) if search.order == "slot" else 1
    return search.batch * lag


def _padded(rows: Sequence[Int32], none: Int32) -> Int32:
    """Stack rows and rows of -1, as long as `none` or a power of 2 above that."""
    length = len(none)
    if len(rows) > length:
        length = 1 << (len(rows) - 1).bit_length()
    padded = np.full((length, none.shape[1]), -1, np.int32)
    for place, row in enumerate(rows):
        padded[place] = row
    return padded


def digest(state: AgentState) -> str:
    """Hash every bit of `state`, or of its changes (sha256, hexadecimal)."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        sha.update(np.ascontiguousarray(leaf).data)
    return sha.hexdigest()


def host() -> jax.Device:
    """Return the host's CPU, where agents run: accelerators round differently.

    Raises:
      ConfigError: if jax may not use it.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise ConfigError(
            f"jax does not start on the CPU, where agents run: {error}; "
            f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: want cpu among them"
        ) from error


def _check_iteration(iteration: int, iterations: int) -> None:
    if not 0 <= iteration < iterations:
        raise SearchError(
            f"iteration {iteration} is beyond the schedule, which has {iterations} "
            "from 0: lengthen agent.schedule"
        )


def _check_batch(
    shape: tuple[int, ...], rewards: np.ndarray, told: tuple[int, ...]
) -> None:
    batch, *values = told
    if rewards.shape != (*shape[:1], *values) or not 1 <= len(rewards) <= batch:
        what = f"{values[0]} values" if values else "a reward"
        raise SearchError(
            f"told actions of shape {shape} and rewards of shape {rewards.shape}: "
            f"want {what} for each of 1 to {batch} blocks (search.batch)"
        )
    if not np.isfinite(rewards).all():
        raise SearchError(
            f"told rewards {quote(rewards.tolist())}: want finite numbers"
        )
