"""State: what a search knows, and the two steps that use it, ask and tell."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bqnn.agents.agent import AgentState
from bqnn.evaluation.recipe import over_budget
from bqnn.evaluation.records import MOST_DRAWS, Candidate, Evaluation
from bqnn.search import ladder
from bqnn.search.costs import log_cost, names_of
from bqnn.search.history import Ask, Batch, Learnt
from bqnn.search.ladder import Ladder
from bqnn.search.problem import Problem, latency_of, make_candidate
from bqnn.space import nsc


class SearchState(NamedTuple):
    """All that a search was told.

    Attributes:
      agent: state of the agent.
      ladder: what was seen at the rungs.
    """

    agent: AgentState
    ladder: Ladder


def first_state(problem: Problem, learnt: Sequence[Learnt]) -> SearchState:
    """Make the first state, and tell it results of earlier searches.

    Args:
      problem: bound to them.
      learnt: told in batches of `search.batch`, the last of which may be smaller.
    """
    batch = problem.config.search.batch
    state = SearchState(problem.agent.init(), ladder.make(problem.config.train))
    for start in range(0, len(learnt), batch):
        part = learnt[start : start + batch]
        state = tell_batch(problem, state, [(x.candidate, x.evaluation) for x in part])
    return state


def told_again(
    problem: Problem, learnt: Sequence[Learnt], batches: Iterable[Batch]
) -> SearchState:
    """Make the state of a search that was told batches by the reward of `problem`."""
    state = first_state(problem, learnt)
    for batch in batches:
        state = tell_batch(problem, state, batch)
    return state


def ask_batch(
    problem: Problem,
    state: SearchState,
    iteration: int,
    told: int,
    pending: Iterable[Candidate] = (),
) -> Ask:
    """Ask the agent for batch `iteration`, after it was told `told` batches.

    Blocks over the budget are drawn again. Candidates know what they must reach as it
    stands now.
    """
    config, images = problem.config, problem.images

    def fits(_slot: int, _draw: int, block: nsc.Block) -> bool:
        return not over_budget(block, latency_of(problem, block), config, images)

    drawn, epsilon = _draw_batch(problem, state, iteration, pending, fits)
    reach = ladder.standing(state.ladder)._asdict()
    candidates = tuple(
        dataclasses.replace(
            make_candidate(problem, block, iteration, slot), draw=draw, **reach
        )
        for slot, (block, draw) in enumerate(drawn)
    )
    return Ask(iteration, told, epsilon, candidates)


def ask_again(
    problem: Problem, state: SearchState, recorded: Ask, pending: Iterable[Candidate]
) -> tuple[list[nsc.Block], float]:
    """Ask the agent for a batch of the journal, by the draws that are recorded.

    What was within the budget need not be found out again: the table of latencies may
    be gone.

    Args:
      problem: the search.
      state: all that was told.
      recorded: the batch.
      pending: candidates asked before and not told yet, in the order asked.

    Returns:
      The blocks in slot order, and the epsilon of the exploration.
    """

    def taken(slot: int, draw: int, _block: nsc.Block) -> bool:
        return recorded.candidates[slot].draw == draw

    drawn, epsilon = _draw_batch(problem, state, recorded.iteration, pending, taken)
    return [block for block, _ in drawn], epsilon


def _draw_batch(
    problem: Problem,
    state: SearchState,
    iteration: int,
    pending: Iterable[Candidate],
    take: Callable[[int, int, nsc.Block], bool],
) -> tuple[list[tuple[nsc.Block, int]], float]:
    """Draw a batch again until every slot has taken a block.

    Blocks that were given to be tried first take the first slots, whatever they cost.

    Args:
      problem: the search.
      state: all that was told.
      iteration: the batch.
      pending: candidates asked before and not told yet, in the order asked.
      take: (slot, draw, block) -> whether the slot takes the block. Of the last of
        `MOST_DRAWS` draws it takes what comes.

    Returns:
      Blocks with the draws that gave them, in slot order, and the epsilon of the first
      draw.
    """
    batch, space = problem.config.search.batch, problem.space
    first = problem.first[iteration * batch : (iteration + 1) * batch]
    drawn = {slot: (block, 0) for slot, block in enumerate(first)}
    rows = [space.encode(block) for block in (*(c.block for c in pending), *first)]
    epsilons = []
    for draw in range(MOST_DRAWS):
        actions, info = problem.agent.ask(state.agent, iteration, rows, draw)
        epsilons.append(info.epsilon)
        for slot in range(batch):
            if slot in drawn:
                continue
            block = space.decode(actions[slot])
            if draw == MOST_DRAWS - 1 or take(slot, draw, block):
                drawn[slot] = block, draw
                rows.append(actions[slot])
        if len(drawn) == batch:
            break
    return [drawn[slot] for slot in range(batch)], epsilons[0]


def tell_batch(
    problem: Problem,
    state: SearchState,
    batch: Batch,
) -> SearchState:
    """Tell a batch of evaluated candidates, in the order given.

    Takes over the buffers of the agent's state.
    """
    actions = np.stack([problem.space.encode(c.block) for c, _ in batch])
    rewards = np.array([_values(problem, c, e) for c, e in batch], np.float32)
    return SearchState(
        problem.agent.tell_donating(state.agent, actions, rewards),
        ladder.tell(state.ladder, batch),
    )


def _values(
    problem: Problem, candidate: Candidate, evaluation: Evaluation
) -> float | tuple[float, ...]:
    """Compute what the agent is told: a reward, or all values of a front."""
    reward, config = problem.reward(candidate, evaluation), problem.config
    if config.agent.goal == "reward":
        return reward
    return reward, *(-log_cost(name, candidate) for name in names_of(config))


def batch_digest(batch: Batch) -> str:
    """Hash a batch told: candidates, statuses and accuracies (sha256).

    A replay that compares it finds changes that no reward depends on, such as another
    accuracy before the last epoch.
    """
    facts = [
        [
            *(str(value) for value in _told(candidate)),
            evaluation.status,
            evaluation.accuracy,
            evaluation.restarts,
            *([evaluation.repeats] if evaluation.repeats else []),
        ]
        for candidate, evaluation in batch
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _told(candidate: Candidate) -> list[object]:
    """List the fields of a candidate; without those that earlier versions lacked."""
    *values, rungs, _, repeat_from, latency, _ = vars(candidate).values()
    if rungs:
        values.append(rungs)
    return [*values, *(x for x in (repeat_from, latency) if x is not None)]
