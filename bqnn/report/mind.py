"""What a Q-learning agent thought: its Q-table after every batch told, summed up.

The journal does not hold Q-values: they come from telling the batches again, once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.agents import agent
from bqnn.agents.q import QState, greedy_actions
from bqnn.search.fold import settled_evaluations
from bqnn.search.history import History
from bqnn.search.problem import Problem, tell_batch
from bqnn.space.actions import Int32, Space
from bqnn.space.nsc import Block, LayerType


class Thought(NamedTuple):
    """The agent after a batch was told. Layers count from 1, types as in table 1.

    Attributes:
      values: mean Q-value of the decisions told so far, by layer and type; NaN where
        there is none.  # [T, K]
      visits: how often a decision of this layer and type was told.  # [T, K]
      greedy: the block that the agent holds best; of equal values the first.
    """

    values: NDArray[np.float64]
    visits: NDArray[np.int64]
    greedy: Block


class Mind:
    """Follows the agent of a search; tells every batch once, however often asked.

    Attributes:
      thoughts: after each batch told.
      differs: whether the last digest is not the one recorded.
    """

    def __init__(self, search: Problem) -> None:
        """Begin with an agent that was told nothing."""
        self.thoughts: list[Thought] = []
        self.differs = False
        self._search = search
        self._state = search.agent.init()
        self._groups = _groups(search.space.arrays)
        self._visits = np.zeros(len(self._groups), np.int64)

    @property
    def has_q_values(self) -> bool:
        """Whether the agent is one that learns Q-values."""
        return isinstance(self._state, QState)

    def follow(self, history: History) -> None:
        """Tell what the journal holds beyond what was told before."""
        if not self.has_q_values:
            return
        new = history.tells[len(self.thoughts) :]
        finals = settled_evaluations(history)
        candidates = {c.id: c for asked in history.asks for c in asked.candidates}
        for told in new:
            batch = [(candidates[i], finals[i]) for i in told.ids]
            self._state = tell_batch(self._search, self._state, batch)
            actions = [self._search.space.encode(c.block) for c, _ in batch]
            self.thoughts.append(self._think(np.stack(actions)))
        if new:
            self.differs = agent.digest(self._state) != new[-1].digest

    def _think(self, actions: Int32) -> Thought:
        assert isinstance(self._state, QState)
        space = self._search.space.arrays
        np.add.at(self._visits, places(space, actions), 1)
        tried = np.flatnonzero(self._visits)
        groups, visits = self._groups[tried], self._visits[tried]
        # A copy: the agent takes its buffers over when it is told the next batch.
        table = np.array(self._state.q_values)
        shape = (len(space.num_actions), len(LayerType))
        size = shape[0] * shape[1]
        sums = np.bincount(groups, table[tried].astype(np.float64), size)
        counts = np.bincount(groups, minlength=size)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return Thought(
            means.reshape(shape),
            np.bincount(groups, visits, size).astype(np.int64).reshape(shape),
            self._search.space.decode(greedy_actions(space, table)),
        )


def places(space: Space, actions: Int32) -> NDArray[np.int64]:
    """Find where the Q-values of decisions stand in the flat table.

    Args:
      space: the decision process.
      actions: of blocks, -1 after the Terminal.  # [B, T]

    Returns:
      One place per decision.  # [N]
    """
    before = np.roll(actions, 1, axis=1)
    before[:, 0] = 0
    flat = space.row_start + before * space.num_actions + actions
    return flat[actions >= 0].astype(np.int64)


def _groups(space: Space) -> NDArray[np.int64]:
    """Number the layer and type of every Q-value: layer * K + type, from 0.  # [S]."""
    ends = [*space.row_start[1:], space.size]
    parts = []
    for t, (count, end) in enumerate(zip(space.num_actions, ends, strict=True)):
        kinds = space.codes[t, :count, 0].astype(np.int64) - 1 + t * len(LayerType)
        parts.append(np.tile(kinds, (end - space.row_start[t]) // count))
    return np.concatenate(parts)
