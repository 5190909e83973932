"""Digests: what a journal records of the agent's state after every batch told.

A digest is one of two, and its text says which.

- `HASH` is the hash of every bit of the state.
- `HASH:changes` is the hash of the digest before it and of all that this batch has
  changed. It vouches for the whole state: what the batch did not change, the digest
  before it vouches for. Only what `tell` overwrites by mistake would escape it.

The paper's Q-table has 10 MB, which take 7 ms to hash, for a batch of two candidates as
for one of 64. So the whole state is hashed after the first batch, after the last and as
often in between as `BYTES_PER_CANDIDATE` allows: for every batch if the state is small
or the batch large. A search's last digest depends on no such choice. A replay compares
either: it finds the first batch that differs. Before schema version 2, every digest was
of the whole state.
"""

import hashlib

import jax

from bqnn.agents import agent
from bqnn.agents.agent import AgentState
from bqnn.search.facts import CHANGES
from bqnn.search.problem import Problem

BYTES_PER_CANDIDATE = 2**17
"""Bytes of the state that may be hashed per candidate told, on average."""


def next_digest(problem: Problem, state: AgentState, number: int, previous: str) -> str:
    """Return the digest to record after a batch was told.

    Args:
      problem: the search.
      state: the agent's state afterwards.
      number: batches told before.
      previous: the digest recorded before; of any text for the first batch.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    every = size // (problem.config.search.batch * BYTES_PER_CANDIDATE)
    is_whole = number % max(1, every) == 0 or number == problem.iterations - 1
    return agent.digest(state) if is_whole else _of_changes(problem, state, previous)


def same_digest(
    problem: Problem, state: AgentState, recorded: str, previous: str
) -> str:
    """Return the digest of a state that covers what the one recorded covers.

    Args:
      problem: the search.
      state: the agent's state.
      recorded: the digest to compare with.
      previous: the digest recorded before that one.
    """
    if recorded.endswith(CHANGES):
        return _of_changes(problem, state, previous)
    return agent.digest(state)


def _of_changes(problem: Problem, state: AgentState, previous: str) -> str:
    changes = agent.digest(problem.agent.changes(state))
    return hashlib.sha256(f"{previous} {changes}".encode()).hexdigest() + CHANGES
