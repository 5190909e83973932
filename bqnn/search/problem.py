"""The pure parts of a search, bound to one configuration and one kind of images."""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bqnn.agents.agent import Agent, AgentState, make_agent
from bqnn.config import Config, schedule
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.networks import cost
from bqnn.networks.cost import Density
from bqnn.networks.plan import ImageSpec, plan
from bqnn.search.history import Ask
from bqnn.search.reward import reward_of
from bqnn.space import nsc
from bqnn.space.actions import NscSpace


class Problem(NamedTuple):
    """A search to be done.

    Attributes:
      config: the configuration.
      images: shape of the images and number of classes.
      space: the blocks.
      agent: the learner over them.
      iterations: batches to ask.
      reference: FLOPs and density of the reward's reference block.
    """

    config: Config
    images: ImageSpec
    space: NscSpace
    agent: Agent
    iterations: int
    reference: tuple[int, Density]


def make_problem(config: Config, images: ImageSpec) -> Problem:
    """Bind the parts of a search."""
    space = NscSpace(config.space.max_layers)
    reference = plan(cost.REFERENCE_BLOCK, config.network, images)
    return Problem(
        config=config,
        images=images,
        space=space,
        agent=make_agent(space.arrays, config.agent, config.search),
        iterations=schedule.parse(config.agent.schedule).iterations,
        reference=(cost.block_flops(reference), cost.density(cost.REFERENCE_BLOCK)),
    )


def ask(problem: Problem, state: AgentState, iteration: int, told: int) -> Ask:
    """Ask the agent for the batch `iteration`, `told` batches after the start."""
    actions, info = problem.agent.ask(state, iteration)
    blocks = [problem.space.decode(row) for row in actions]
    candidates = tuple(
        make_candidate(problem, block, iteration, slot)
        for slot, block in enumerate(blocks)
    )
    return Ask(iteration, told, info.epsilon, candidates)


def make_candidate(
    problem: Problem, block: nsc.Block, iteration: int = 0, slot: int = 0
) -> Candidate:
    """Work out all that is known of a block before it is trained.

    The seed of its training depends on the search's seed and on the block alone, so
    that a result does not depend on when it was asked.
    """
    network = problem.config.network
    whole, flops = cost.stacked_cost(block, network, problem.images)
    density = cost.density(block)
    sha = nsc.canonical_hash(block, network.width)
    seed = hashlib.sha256(f"{problem.config.search.seed} {sha}".encode()).digest()
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


def reward(problem: Problem, candidate: Candidate, evaluation: Evaluation) -> float:
    """Reward a final evaluation by the configuration's weights."""
    return reward_of(
        candidate,
        evaluation,
        problem.images.num_classes,
        problem.reference,
        problem.config.reward,
    )


def tell(
    problem: Problem,
    state: AgentState,
    batch: Sequence[tuple[Candidate, Evaluation]],
) -> AgentState:
    """Teach the agent a batch of evaluated candidates, in the order given.

    Takes over the buffers of `state`.
    """
    actions = np.stack([problem.space.encode(c.block) for c, _ in batch])
    rewards = np.array([reward(problem, c, e) for c, e in batch], np.float32)
    return problem.agent.tell_donating(state, actions, rewards)


def evidence(batch: Sequence[tuple[Candidate, Evaluation]]) -> str:
    """Hash what a batch told: candidates, statuses and accuracies (sha256)."""
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
