"""NAS-Bench-Graph: its space as a decision process (Qin et al., NeurIPS 2022).

A network for graphs has four nodes. Each reads the network's input or an earlier node;
the nodes that no other reads are the output. The first step chooses one of nine macro
structures, which say what every node reads. Each further step chooses the operation of
a node.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bqnn.space.actions import Int32, Space
from bqnn.space.categorical import categorical_arrays

if TYPE_CHECKING:  # jax, which is slow to import
    from jax import Array

MACROS = (
    *((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2), (0, 0, 1, 3)),
    *((0, 1, 1, 1), (0, 1, 1, 2), (0, 1, 2, 2), (0, 1, 2, 3)),
)
"""What each of the four nodes reads: 0 is the input, 1 the first node."""

OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
PROTEINS_OPERATIONS = ("gcn", "sage", "arma", "fc", "skip")
"""Operations on the data set proteins, which is too large for the others."""

Form = tuple[tuple[str, "Form"], ...]
"""What a network computes: operations that read the input, each with its readers."""


class NasBenchGraphSpace:
    """The space of networks, as macro structure and four operations."""

    def __init__(self, operations: Sequence[str] = OPERATIONS) -> None:
        """Store the operations."""
        self._operations = tuple(operations)

    @functools.cached_property
    def arrays(self) -> Space:
        """The space as the arrays that learners use."""
        from jax import numpy as jnp

        counts = [len(MACROS), *[len(self._operations)] * 4]
        first: dict[Form, int] = {}
        forms = enumerate(all_forms(self._operations))
        same = [first.setdefault(form, index) for index, form in forms]
        table = np.stack(np.unravel_index(same, counts), axis=1).astype(np.int32)

        def first_equal(actions: "Array") -> "Array":
            """Return the first actions that write the same network, int32 `[5]`."""
            index = jnp.ravel_multi_index(tuple(actions), counts, mode="clip")
            # Rows of -1, where learners hold no network yet, stay what they are.
            return jnp.where(actions < 0, actions, jnp.asarray(table)[index])

        return categorical_arrays(counts, first_equal)

    def decode(
        self, actions: Sequence[int] | Int32
    ) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Return macro structure and operations, from int32 `[5]`."""
        macro, *chosen = map(int, actions)
        return MACROS[macro], tuple(self._operations[index] for index in chosen)

    def encode(self, macro: Sequence[int], operations: Sequence[str]) -> Int32:
        """Return the actions that choose a network, int32 `[5]`."""
        chosen = [self._operations.index(operation) for operation in operations]
        return np.array([MACROS.index(tuple(macro)), *chosen], np.int32)


def canonical_form(macro: Sequence[int], operations: Sequence[str]) -> Form:
    """Return what a network computes: networks that are equal have equal forms.

    A skip connection drops out where it passes on what its readers or the output have
    anyway: with readers, alone on what it reads, or on the input.

    Args:
      macro: what each node reads.
      operations: of each node.
    """
    reads = dict(enumerate(macro, 1))
    for node, operation in enumerate(operations, 1):
        source = reads[node]
        readers = [other for other, read in reads.items() if read == node]
        alone = list(reads.values()).count(source) == 1
        if operation == "skip" and (readers or alone or source == 0):
            del reads[node]
            reads |= dict.fromkeys(readers, source)

    def readers_of(source: int) -> Form:
        found = [node for node, read in reads.items() if read == source]
        return tuple(sorted((operations[n - 1], readers_of(n)) for n in found))

    return readers_of(0)


def all_forms(operations: Sequence[str]) -> list[Form]:
    """List the form of every network, in the order of its actions."""
    return [
        canonical_form(macro, chosen)
        for macro in MACROS
        for chosen in itertools.product(operations, repeat=4)
    ]
