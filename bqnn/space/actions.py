"""Actions: the search space as a decision process, in arrays.

The paper, Q-learning: a state is the code of the current layer, an action the code of
the next one. An action is stored as its position in the list of the codes that are
legal at its layer index, so that all learners work on small integers.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bqnn.config.network import WIRINGS
from bqnn.errors import NscError, quote
from bqnn.layer_types import PAPER_TYPES, LayerType, named
from bqnn.space.nsc import Block, Layer

if TYPE_CHECKING:  # jax, which is slow to import
    from jax import Array

Int32 = NDArray[np.int32]


class Space(NamedTuple):
    """A decision process of at most T steps, as arrays. Step t chooses layer t + 1.

    Q-values lie in one flat table. After action a of step t - 1, the Q-values of the
    actions of step t are the row of `num_actions[t]` numbers that starts at
    `row_start[t] + a * num_actions[t]` (a = 0 at t = 0).

    Attributes:
      num_actions: number of legal actions of each step, int32 `[T]`.
      row_start: index of the first row of each step in the flat table, int32 `[T]`.
      stop: the action that ends the episode, -1 if there is none; int32 `[T]`.
      group_start: first action of each group (layer type) at each step, int32 `[T, G]`.
      group_size: number of actions of each group at each step, int32 `[T, G]`.
      codes: operation, kernel and two predecessors of each action, zeros beyond the
        legal ones; int32 `[T, A, 4]`.
      size: number of Q-values.
      key: (actions, int32 `[T]`, -1 after the end) -> uint32 `[]`, the same for blocks
        that compute the same function. Others differ in it, but for very few pairs.
      features: (actions, as above) -> int32 `[F]`: what the block computes, equal for
        blocks that compute the same function. The sum of absolute differences says how
        far two blocks are apart.
    """

    num_actions: Int32
    row_start: Int32
    stop: Int32
    group_start: Int32
    group_size: Int32
    codes: Int32
    size: int
    key: Callable[["Array"], "Array"]
    features: Callable[["Array"], "Array"]


class ActionSpace(Protocol):
    """A space of blocks that agents can search."""

    @property
    def arrays(self) -> Space:
        """The space as the arrays that agents use."""


class NscSpace:
    """The space of blocks of up to `max_layers` layers of some types.

    Attributes:
      max_layers: the largest layer index.
      types: of the layers, and the Terminal.
      first: the step that chooses the first layer: 0, or 1 after that of the wiring.
    """

    def __init__(
        self,
        max_layers: int,
        width: str = "uniform",
        types: Sequence[str] = PAPER_TYPES,
        wirings: Sequence[str] = (),
    ) -> None:
        """List the legal codes of every layer index.

        With wirings, the first of all decisions is the Terminal's kernel: so a block of
        full length, which has no other Terminal, has one too.

        Args:
          max_layers: the largest layer index.
          width: the width rule, which decides what computes the same function.
          types: names of the layer types, as `space.types` has them.
          wirings: that a block may have of its own, as `space.wirings` has them.

        Raises:
          ConfigError: if the types are none for a space.
        """
        self.max_layers, self._width, self.types = max_layers, width, named(types)
        indices = range(1, max_layers + 1)
        self._codes = [legal_codes(index, types) for index in indices]
        self._wirings = [0, *sorted(map(WIRINGS.index, wirings))]
        self.first = 1 if wirings else 0
        if wirings:
            ends = [Layer(0, LayerType.TERMINAL, k, 0, 0) for k in self._wirings]
            self._codes.insert(0, ends)
        self._actions = [{c: a for a, c in enumerate(codes)} for codes in self._codes]

    @functools.cached_property
    def arrays(self) -> Space:
        """The space as the arrays that learners use."""
        from bqnn.space import block_graph  # imports jax

        counts = [len(codes) for codes in self._codes]
        kinds = [kind.code for kind in self.types]
        sizes = np.array([_group_sizes(codes, kinds) for codes in self._codes])
        # Terminal is the last code of every index but the first. No row follows it.
        later = counts[self.first + 1 :]
        stop = [-1] * (self.first + 1) + [count - 1 for count in later]
        going_on = [n - (last >= 0) for n, last in zip(counts, stop, strict=True)]
        rows = [1, *going_on[:-1]]
        ends = np.cumsum([r * n for r, n in zip(rows, counts, strict=True)])
        codes = _padded([[_fields(code) for code in codes] for codes in self._codes])
        ordered = self._width == "native"
        key, features = block_graph.key, block_graph.features
        if self.first:
            key, features = block_graph.wired_key, block_graph.wired_features
        return Space(
            num_actions=np.array(counts, np.int32),
            row_start=np.array([0, *ends[:-1]], np.int32),
            stop=np.array(stop, np.int32),
            group_start=np.array(np.cumsum(sizes, axis=1) - sizes, np.int32),
            group_size=np.array(sizes, np.int32),
            codes=codes,
            size=int(ends[-1]),
            key=functools.partial(key, codes, ordered),
            features=functools.partial(features, codes, self.types),
        )

    def decode(self, actions: Sequence[int] | Int32) -> Block:
        """Return the block that actions build.

        Args:
          actions: int32 `[T]`, -1 after the Terminal.
        """
        codes = [self._codes[t][int(a)] for t, a in enumerate(actions) if a >= 0]
        wiring = codes[0].kernel if self.first else 0
        layers = (code for code in codes if code.type != LayerType.TERMINAL)
        return Block(tuple(layers), wiring)

    def encode(self, block: Block) -> Int32:
        """Return the actions that build a block.

        Returns:
          Actions, int32 `[T]`, -1 after the Terminal.

        Raises:
          NscError: if the block has more than `max_layers` layers, or one of another
            type, or another wiring.
        """
        length = len(block)
        if length > self.max_layers:
            raise NscError(
                f"block {quote(str(block))} has {length} layers: "
                f"this space has {self.max_layers} at most (space.max_layers)"
            )
        if block.wiring not in self._wirings:
            wiring = WIRINGS[block.wiring]
            raise NscError(
                f"block {quote(str(block))} is {wiring}: this space has no such wiring "
                "(space.wirings)"
            )
        actions = np.full(len(self._codes), -1, np.int32)
        if self.first:
            actions[0] = self._wirings.index(block.wiring)
        for t, layer in enumerate(block.layers, self.first):
            actions[t] = self._action(t, layer)
        end = self.first + length
        if end < len(actions):
            actions[end] = len(self._codes[end]) - 1
        return actions

    def _action(self, step: int, layer: Layer) -> int:
        try:
            return self._actions[step][layer]
        except KeyError:
            names = ", ".join(kind.name for kind in self.types[:-1])
            raise NscError(
                f"layer {quote(str(layer))}: this space has {names} alone (space.types)"
            ) from None


def legal_codes(index: int, types: Sequence[str] = PAPER_TYPES) -> list[Layer]:
    """List the codes that are legal at a layer index, by type, kernel, predecessors.

    Add and Concat have pred1 < pred2, and Terminal is not legal at index 1 (ours; the
    paper is silent). It has kernel 0 here: another one is a decision of its own. Index
    23 has 691 codes.

    Args:
      index: the layer index, from 1.
      types: names of the layer types.
    """
    codes = []
    for kind in named(types):
        count = kind.num_predecessors
        if kind.code == LayerType.TERMINAL:
            codes += [Layer(index, kind.code, 0, 0, 0)] if index > 1 else []
            continue
        if count == 1:
            preds = [(pred, 0) for pred in range(index)]
        else:
            preds = [(a, b) for a in range(index) for b in range(a + 1, index)]
        codes += [
            Layer(index, kind.code, k, a, b) for k in kind.kernels for a, b in preds
        ]
    return codes


def _group_sizes(codes: Sequence[Layer], kinds: Sequence[int]) -> list[int]:
    return [sum(code.type == kind for code in codes) for kind in kinds]


def _fields(code: Layer) -> tuple[int, ...]:
    return code.type, code.kernel, code.pred1, code.pred2


def _padded(rows: list[list[tuple[int, ...]]]) -> Int32:
    """Stack lists of different lengths, with zeros after the shorter ones.

    Returns:
      The codes, int32 `[T, A, 4]`.
    """
    widest = max(map(len, rows))
    table = np.zeros((len(rows), widest, len(rows[0][0])), np.int32)
    for row, entries in zip(table, rows, strict=True):
        row[: len(entries)] = entries
    return table
