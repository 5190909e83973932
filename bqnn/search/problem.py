"""Problem: the pure parts of a search, bound to one configuration and image shape."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bqnn.config import Config, schedule
from bqnn.errors import DataError
from bqnn.evaluation.records import Candidate
from bqnn.networks import cost
from bqnn.networks.plan import ImageSpec, plan
from bqnn.search.calibration import Fit
from bqnn.search.history import Given
from bqnn.search.reward import Reward, constrained, learned_reward, make_reward
from bqnn.space import nsc
from bqnn.space.actions import NscSpace

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.agents.agent import Agent
    from bqnn.latency.table import LatencyTable


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

    @functools.cached_property
    def latencies(self) -> "LatencyTable | None":
        """The table of `budget.latency_table`, read when a candidate is first made.

        A replay makes none: latencies are facts of the journal.
        """
        from bqnn.latency import table

        name = self.config.budget.latency_table
        return None if name is None else table.read(Path(name))


def make_problem(config: Config, images: ImageSpec) -> Problem:
    """Bind the parts of a search."""
    chosen, width = config.space, config.network.width
    space = NscSpace(chosen.max_layers, width, chosen.types, chosen.wirings)
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


def with_fit(problem: Problem, fit: Fit | None) -> Problem:
    """Bind the reward that a fit foretells; the same problem without a fit."""
    if fit is None:
        return problem
    learnt = learned_reward(fit, problem.images.num_classes)
    reward = constrained(learnt, problem.config.reward)
    bound = dataclasses.replace(problem, reward=reward)
    if "agent" in vars(problem):  # it does not depend on the reward, and is compiled
        vars(bound)["agent"] = problem.agent
    return bound


def make_candidate(
    problem: Problem, block: nsc.Block, iteration: int = 0, slot: int = 0
) -> Candidate:
    """Compute all that is known of a block before it is trained.

    The seed of the training depends on `train.seed`, or else the search's seed, and on
    the block's canonical hash, not on iteration and slot: the result does not depend on
    when it is asked (`training_seed`).

    Raises:
      DataError: if the table of latencies cannot be read, or is of another space.
    """
    network = problem.config.network
    whole, flops = cost.stacked_cost(block, network, problem.images)
    density = cost.density(block)
    sha = nsc.canonical_hash(block, network.width)
    return Candidate(
        iteration,
        slot,
        block,
        sha,
        training_seed(problem.config, sha),
        flops,
        density.edges,
        density.nodes,
        whole.params,
        whole.flops,
        latency=latency_of(problem, block),
    )


def latency_of(problem: Problem, block: nsc.Block) -> int | None:
    """Return the latency of a block's network in nanoseconds; None without a table.

    Raises:
      DataError: if the table of latencies cannot be read, or is of another space.
    """
    if problem.latencies is None:
        return None
    network = plan(block, problem.config.network, problem.images)
    return round(1e6 * problem.latencies.of(network))


def check_table(problem: Problem) -> None:
    """Want a table of latencies that fits a search, before its journal names it.

    Raises:
      DataError: if it cannot be read, or is of other networks.
    """
    latency_of(problem, nsc.parse("1,4,0,0,0"))


def check_latencies(problem: Problem, asked: Iterable[Candidate]) -> None:
    """Want the table of latencies that a search has begun with.

    Args:
      problem: the search.
      asked: its candidates; the first one is compared.

    Raises:
      DataError: if the table says otherwise, or cannot be read.
    """
    for candidate in itertools.islice(asked, 1):
        found = latency_of(problem, candidate.block)
        if found != candidate.latency:
            raise DataError(
                f"{problem.config.budget.latency_table} says {found} ns of "
                f"{candidate.block}, the journal {candidate.latency}: want the table "
                "that the search began with"
            )


def training_seed(config: Config, sha: str) -> int:
    """Make the seed of a training from the seed of all and the candidate's hash."""
    base = config.search.seed if config.train.seed is None else config.train.seed
    seed = hashlib.sha256(f"{base} {sha}".encode()).digest()
    return int.from_bytes(seed[:4], "big") >> 1
