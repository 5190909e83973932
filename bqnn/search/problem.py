"""Problem: the pure parts of a search, bound to one configuration and image shape."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bqnn.config import Config, schedule
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.networks import cost
from bqnn.networks.plan import ImageSpec
from bqnn.search.history import Ask, Given, Learnt
from bqnn.search.reward import Reward, make_reward
from bqnn.space import nsc
from bqnn.space.actions import NscSpace

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.agents.agent import Agent, AgentState


@dataclasses.dataclass(frozen=True)
class Problem:
    """A search to be done.

    Attributes:
      config: the configuration.
      images: shape of the images and number of classes.
      space: the blocks.
      iterations: batches to ask.
      reward: (candidate, its final evaluation) -> what the agent is told.
      learnt: how many results of earlier searches the agent is told before batch 0.
      first: blocks that take the first slots.
    """

    config: Config
    images: ImageSpec
    space: NscSpace
    iterations: int
    reward: Reward
    learnt: int = 0
    first: tuple[nsc.Block, ...] = ()

    @functools.cached_property
    def agent(self) -> "Agent":
        """The learner over the blocks, made when it is first used: that imports jax."""
        from bqnn.agents.agent import make_agent

        return make_agent(self.space, self.config, self.learnt)


def make_problem(config: Config, images: ImageSpec) -> Problem:
    """Bind the parts of a search."""
    space = NscSpace(config.space.max_layers, config.network.width)
    return Problem(
        config=config,
        images=images,
        space=space,
        iterations=schedule.parse(config.agent.schedule).iterations,
        reward=make_reward(config.reward, config.network, images),
    )


def with_given(problem: Problem, given: Given) -> Problem:
    """Bind what a search is given; the same problem if it is bound already."""
    bound = len(given.learnt), given.first
    if bound == (problem.learnt, problem.first):
        return problem
    return _bound(problem, *bound)


@functools.lru_cache(maxsize=1)  # to compile the agent anew would take seconds
def _bound(problem: Problem, learnt: int, first: tuple[nsc.Block, ...]) -> Problem:
    return dataclasses.replace(problem, learnt=learnt, first=first)


def first_state(problem: Problem, learnt: Sequence[Learnt]) -> "AgentState":
    """Make the agent's first state, and tell it results of earlier searches.

    Args:
      problem: bound to them.
      learnt: told in batches of `search.batch`, the last of which may be smaller.
    """
    state, batch = problem.agent.init(), problem.config.search.batch
    for start in range(0, len(learnt), batch):
        part = learnt[start : start + batch]
        state = tell_batch(problem, state, [(x.candidate, x.evaluation) for x in part])
    return state


def ask_blocks(
    problem: Problem, state: "AgentState", iteration: int, pending: Iterable[Candidate]
) -> tuple[list[nsc.Block], float]:
    """Ask the agent for the blocks of batch `iteration`.

    Blocks that were given to be tried first take the slots of those of the agent.

    Args:
      problem: the search.
      state: of the agent.
      iteration: the batch.
      pending: candidates asked before and not told yet, in the order asked.

    Returns:
      The blocks in slot order, and the epsilon of the exploration.
    """
    batch = problem.config.search.batch
    first = problem.first[iteration * batch : (iteration + 1) * batch]
    taken = [*(candidate.block for candidate in pending), *first]
    rows = [problem.space.encode(block) for block in taken]
    actions, info = problem.agent.ask(state, iteration, rows)
    blocks = [problem.space.decode(row) for row in actions]
    return [*first, *blocks[len(first) :]], info.epsilon


def ask_batch(
    problem: Problem,
    state: "AgentState",
    iteration: int,
    told: int,
    pending: Iterable[Candidate] = (),
) -> Ask:
    """Ask the agent for batch `iteration`, after it was told `told` batches."""
    blocks, epsilon = ask_blocks(problem, state, iteration, pending)
    candidates = tuple(
        make_candidate(problem, block, iteration, slot)
        for slot, block in enumerate(blocks)
    )
    return Ask(iteration, told, epsilon, candidates)


def make_candidate(
    problem: Problem, block: nsc.Block, iteration: int = 0, slot: int = 0
) -> Candidate:
    """Compute all that is known of a block before it is trained.

    The seed of the training depends on `train.seed`, or else the search's seed, and on
    the block's canonical hash, not on iteration and slot: the result does not depend on
    when it is asked.
    """
    network = problem.config.network
    whole, flops = cost.stacked_cost(block, network, problem.images)
    density = cost.density(block)
    sha = nsc.canonical_hash(block, network.width)
    config = problem.config
    base = config.search.seed if config.train.seed is None else config.train.seed
    seed = hashlib.sha256(f"{base} {sha}".encode()).digest()
    return Candidate(
        iteration,
        slot,
        block,
        sha,
        int.from_bytes(seed[:4], "big") >> 1,
        flops,
        density.edges,
        density.nodes,
        whole.params,
        whole.flops,
    )


def tell_batch(
    problem: Problem,
    state: "AgentState",
    batch: Sequence[tuple[Candidate, Evaluation]],
) -> "AgentState":
    """Tell the agent a batch of evaluated candidates, in the order given.

    Takes over the buffers of `state`.
    """
    actions = np.stack([problem.space.encode(c.block) for c, _ in batch])
    rewards = np.array([problem.reward(c, e) for c, e in batch], np.float32)
    return problem.agent.tell_donating(state, actions, rewards)


def batch_digest(batch: Sequence[tuple[Candidate, Evaluation]]) -> str:
    """Hash a batch told: candidates, statuses and accuracies (sha256).

    A replay that compares it finds changes that no reward depends on, such as another
    accuracy before the last epoch.
    """
    facts = [
        [
            *(str(value) for value in vars(candidate).values()),
            evaluation.status,
            evaluation.accuracy,
            evaluation.restarts,
        ]
        for candidate, evaluation in batch
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
