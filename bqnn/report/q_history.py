"""Q-values of a search over time: a snapshot after every batch told to the agent.

The journal does not hold Q-values. Telling the agent its batches again gives them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.agents.q import QState, greedy_actions
from bqnn.search.digests import same_digest
from bqnn.search.history import Given, History
from bqnn.search.problem import Problem, with_fit, with_given
from bqnn.search.settled import settled_evaluations, told_batches
from bqnn.search.state import first_state, tell_batch, told_again
from bqnn.space.actions import Int32, Space
from bqnn.space.nsc import Block


class QSnapshot(NamedTuple):
    """The Q-table after a batch was told, by layer and type.

    Axes: T layers, G types.

    Attributes:
      values: mean Q-value of the decisions told so far, float64 `[T, G]`; NaN where
        none was told.
      visits: how often such a decision was told, int64 `[T, G]`.
      greedy: the block of the highest Q-values; of equal values the first.
    """

    values: NDArray[np.float64]
    visits: NDArray[np.int64]
    greedy: Block


class QHistory:
    """Follows the agent of a search; tells it every batch once.

    Attributes:
      snapshots: after each batch told; none for an agent without Q-values.
      differs: whether a digest is not the one recorded.
    """

    def __init__(self, problem: Problem) -> None:
        """Begin with an agent that was told nothing."""
        self.snapshots: list[QSnapshot] = []
        self.differs = False
        self._problem = problem
        self._state = first_state(problem, ())
        self._groups = _groups(problem.space.arrays)
        self._visits = np.zeros(len(self._groups), np.int64)

    @property
    def has_q_values(self) -> bool:
        """Whether the agent learns Q-values."""
        return isinstance(self._state.agent, QState)

    def follow(self, history: History) -> None:
        """Tell the agent the batches of the journal that it was not told before."""
        if not self.has_q_values:
            return
        new = history.tells[len(self.snapshots) :]
        if new and not self.snapshots and history.given.learnt:
            self._learn(history.given)
        settled = settled_evaluations(history)
        candidates = {c.id: c for asked in history.asks for c in asked.candidates}
        for told in new:
            number = len(self.snapshots)
            self._learn_reward(history, number)
            batch = [(candidates[name], settled[name]) for name in told.ids]
            self._state = tell_batch(self._problem, self._state, batch)
            actions = [self._problem.space.encode(c.block) for c, _ in batch]
            self.snapshots.append(self._snapshot(np.stack(actions)))
            previous = history.digest_before(number)
            digest = same_digest(
                self._problem, self._state.agent, told.digest, previous
            )
            self.differs |= digest != told.digest

    def _learn(self, given: Given) -> None:
        """Begin with the results of earlier searches; their decisions count as told."""
        self._problem = with_given(self._problem, given)
        self._state = first_state(self._problem, given.learnt)
        space = self._problem.space
        told = np.stack([space.encode(x.candidate.block) for x in given.learnt])
        np.add.at(self._visits, q_indices(space.arrays, told), 1)

    def _learn_reward(self, history: History, number: int) -> None:
        """Tell all again by a new reward, if one was learnt after `number` batches."""
        for ended in history.rounds:
            if ended.told == number and ended.ended:
                self._problem = with_fit(self._problem, ended.fit)
                told = told_batches(history, number)
                self._state = told_again(self._problem, history.given.learnt, told)

    def _snapshot(self, actions: Int32) -> QSnapshot:
        agent = self._state.agent
        assert isinstance(agent, QState)
        space = self._problem.space.arrays
        np.add.at(self._visits, q_indices(space, actions), 1)
        tried = np.flatnonzero(self._visits)
        groups, visits = self._groups[tried], self._visits[tried]
        # A copy: telling the next batch overwrites the agent's buffers.
        table = np.array(agent.q_values)
        shape = space.group_size.shape
        size = shape[0] * shape[1]
        sums = np.bincount(groups, table[tried].astype(np.float64), size)
        counts = np.bincount(groups, minlength=size)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return QSnapshot(
            means.reshape(shape),
            np.bincount(groups, visits, size).astype(np.int64).reshape(shape),
            self._problem.space.decode(greedy_actions(space, table)),
        )


def q_indices(space: Space, actions: Int32) -> NDArray[np.int64]:
    """Return the indices of decisions in the flat Q-table.

    Args:
      space: the decision process.
      actions: of blocks, -1 after the Terminal, int32 `[B, T]`.

    Returns:
      One index per decision, block after block, int64 `[decisions]`.
    """
    before = np.roll(actions, 1, axis=1)
    before[:, 0] = 0
    flat = space.row_start + before * space.num_actions + actions
    return flat[actions >= 0].astype(np.int64)


def _groups(space: Space) -> NDArray[np.int64]:
    """Number layer and type of each Q-value: `layer * G + type`, int64 `[Q]`."""
    ends = [*space.row_start[1:], space.size]
    parts, groups = [], space.group_size.shape[1]
    for t, (count, end) in enumerate(zip(space.num_actions, ends, strict=True)):
        kinds = np.repeat(range(groups), space.group_size[t]) + t * groups
        parts.append(np.tile(kinds, (end - space.row_start[t]) // count))
    return np.concatenate(parts)
