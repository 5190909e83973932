"""Dictionary agent: the paper's Q-learning in plain Python, to compare with.

It follows the equations of `bqnn.agents`, with neither JAX nor NumPy: rows of Q-values
are lists, made when first written, and random numbers come from `random`.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

Row = list[float]
Actions = list[int]


class Steps(NamedTuple):
    """A decision process as plain Python.

    Attributes:
      num_actions: number of legal actions of each step, `[T]`.
      stop: the action that ends the episode, -1 if there is none; `[T]`.
    """

    num_actions: list[int]
    stop: list[int]


class Rule(NamedTuple):
    """The constants of the agent; the defaults are the paper's."""

    alpha: float = 0.01
    gamma: float = 1.0
    shaped: bool = True
    replay_updates: int = 64
    q_init: float = 0.0


class DictAgent:
    """Tabular Q-learning. `table[t, a]` holds the row of step t after action a."""

    def __init__(self, steps: Steps, rule: Rule, seed: int) -> None:
        """Start with an empty table and an empty replay memory."""
        self.steps = steps
        self.rule = rule
        self.table: dict[tuple[int, int], Row] = {}
        self.memory: list[tuple[Actions, float]] = []
        self._random = random.Random(seed)

    def ask(self, epsilon: float, batch: int) -> list[Actions]:
        """Sample `batch` blocks with epsilon-greedy, each up to its last decision."""
        return [self._sample_block(epsilon) for _ in range(batch)]

    def tell(self, blocks: Sequence[Actions], rewards: Sequence[float]) -> None:
        """Add a batch to the memory, then learn from draws of it, or from the batch."""
        batch = list(zip(blocks, rewards, strict=True))
        self.memory += batch
        if self.rule.replay_updates:
            batch = self._random.choices(self.memory, k=self.rule.replay_updates)
        for actions, reward in batch:
            self.update(actions, reward)

    def update(self, actions: Actions, reward: float) -> None:
        """Update the table with one block, from its last decision to its first."""
        alpha, gamma, shaped = self.rule.alpha, self.rule.gamma, self.rule.shaped
        r_t = reward / len(actions) if shaped else 0.0
        target = reward
        for t in range(len(actions) - 1, -1, -1):
            row = self._row(t, actions[t - 1] if t else 0)
            action = actions[t]
            row[action] = (1 - alpha) * row[action] + alpha * target
            target = r_t + gamma * max(row)

    def _sample_block(self, epsilon: float) -> Actions:
        draw, randint = self._random.random, self._random.randrange
        actions: Actions = []
        previous = 0
        for t, (count, stop) in enumerate(zip(*self.steps, strict=True)):
            explore = draw() < epsilon
            previous = randint(count) if explore else self._argmax(t, previous)
            actions.append(previous)
            if previous == stop:
                break
        return actions

    def _argmax(self, t: int, previous: int) -> int:
        """Return the action of the largest Q-value; ties are broken at random."""
        row = self.table.get((t, previous))
        if row is None:
            return self._random.randrange(self.steps.num_actions[t])
        largest = max(row)
        if row.count(largest) == 1:
            return row.index(largest)
        return self._random.choice([a for a, q in enumerate(row) if q == largest])

    def _row(self, t: int, previous: int) -> Row:
        row = self.table.get((t, previous))
        if row is None:
            row = [self.rule.q_init] * self.steps.num_actions[t]
            self.table[t, previous] = row
        return row
