"""Categorical space: a fixed number of decisions, each among a few choices.

A step makes one decision. The state is the decision and the choice before it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bqnn.space.actions import Int32, Space

if TYPE_CHECKING:  # jax, which is slow to import
    from jax import Array

# Groups are drawn among as many as `qtable.argmax_random_tie` counts at once.
_LANES = 32


class CategoricalSpace:
    """The space of all combinations of choices."""

    def __init__(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Store the choices of every decision, by its name; two or more of each."""
        self.choices = {name: tuple(values) for name, values in choices.items()}

    @functools.cached_property
    def arrays(self) -> Space:
        """The space as the arrays that learners use."""
        return categorical_arrays([len(values) for values in self.choices.values()])

    def decode(self, actions: Sequence[int] | Int32) -> dict[str, str]:
        """Return the choice of every decision, by its name.

        Args:
          actions: int32 `[T]`.
        """
        return {
            name: values[int(action)]
            for (name, values), action in zip(
                self.choices.items(), actions, strict=True
            )
        }

    def encode(self, chosen: Mapping[str, str]) -> Int32:
        """Return the actions that make these choices, int32 `[T]`."""
        indices = [v.index(chosen[name]) for name, v in self.choices.items()]
        return np.array(indices, np.int32)


def categorical_arrays(
    counts: Sequence[int],
    computed: Callable[["Array"], "Array"] = lambda actions: actions,
) -> Space:
    """Make the arrays of a space from the number of choices of every decision.

    Args:
      counts: numbers of choices, T of them. Every choice is a group of its own.
      computed: (actions, int32 `[T]`) -> the same for all actions that compute the same
        function, int32 `[T]`; by default no two do.
    """
    from bqnn.space import keys  # imports jax

    total, most = len(counts), max(counts)
    rows = [1, *counts[:-1]]
    ends = np.cumsum([r * n for r, n in zip(rows, counts, strict=True)])
    codes = np.zeros((total, most, 4), np.int32)
    groups = most if most < _LANES else -(-most // _LANES) * _LANES
    legal = np.arange(groups) < np.array(counts)[:, None]
    codes[..., 0] = np.where(legal[:, :most], np.arange(most), 0)
    return Space(
        num_actions=np.array(counts, np.int32),
        row_start=np.array([0, *ends[:-1]], np.int32),
        stop=np.full(total, -1, np.int32),
        group_start=np.where(legal, np.arange(groups), 0).astype(np.int32),
        group_size=legal.astype(np.int32),
        codes=codes,
        size=int(ends[-1]),
        key=lambda actions: keys.row_key(computed(actions)),
        features=lambda actions: keys.one_hot(computed(actions), most),
    )
