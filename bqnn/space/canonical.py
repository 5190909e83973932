"""Canonical forms of small labelled graphs, by refinement and individualisation.

The method of McKay and Piperno, *Practical graph isomorphism, II* (2014), for graphs of
a few dozen nodes. A form lists the whole graph in a canonical order of its nodes, so
graphs with equal forms are always isomorphic.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Graph(NamedTuple):
    """A directed graph with labelled nodes.

    Attributes:
      labels: a pair of integers for every node.
      inputs: for every node, the edges into it as (node, port). Edges into one port are
        interchangeable.
    """

    labels: tuple[tuple[int, int], ...]
    inputs: tuple[tuple[tuple[int, int], ...], ...]


Form = tuple[tuple[tuple[int, int], tuple[tuple[int, int], ...]], ...]


def canonical_form(graph: Graph) -> Form:
    """Return the form of a graph: isomorphic graphs, and no others, have equal ones."""
    outputs: list[list[tuple[int, int]]] = [[] for _ in graph.labels]
    for node, edges in enumerate(graph.inputs):
        for pred, port in edges:
            outputs[pred].append((node, port))
    search = _Search(graph, tuple(map(tuple, outputs)))
    return search.smallest_form(search.refine(_rank(graph.labels)))


class _Search(NamedTuple):
    graph: Graph
    outputs: tuple[tuple[tuple[int, int], ...], ...]

    def refine(self, colours: list[int]) -> list[int]:
        """Split colour classes by the colours of neighbours until nothing changes."""
        while True:
            signatures = [
                (colour, self._around(colours, ins), self._around(colours, outs))
                for colour, ins, outs in zip(
                    colours, self.graph.inputs, self.outputs, strict=True
                )
            ]
            refined = _rank(signatures)
            if max(refined) == max(colours):
                return refined
            colours = refined

    def smallest_form(self, colours: list[int]) -> Form:
        """Return the smallest form over all choices among tied nodes."""
        choices = self._choices(colours)
        if not choices:
            return self._write(colours)
        branches = [self._individualise(colours, node) for node in choices]
        if len(branches) > 1:
            # Equal first descents prove two choices equivalent: one of them suffices.
            branches = list({self._descend(b): b for b in branches}.values())
        return min(self.smallest_form(branch) for branch in branches)

    def _descend(self, colours: list[int]) -> Form:
        while choices := self._choices(colours):
            colours = self._individualise(colours, choices[0])
        return self._write(colours)

    def _choices(self, colours: list[int]) -> list[int]:
        """List the tied nodes of the first colour, one of every set of twins."""
        cells: dict[int, list[int]] = {}
        for node, colour in enumerate(colours):
            cells.setdefault(colour, []).append(node)
        tied = [colour for colour, nodes in cells.items() if len(nodes) > 1]
        if not tied:
            return []
        # Twins have the very same neighbours, so swapping them changes nothing.
        twins = {
            (tuple(sorted(self.graph.inputs[n])), tuple(sorted(self.outputs[n]))): n
            for n in cells[min(tied)]
        }
        return list(twins.values())

    def _individualise(self, colours: list[int], node: int) -> list[int]:
        split = [(colour, n != node) for n, colour in enumerate(colours)]
        return self.refine(_rank(split))

    def _write(self, colours: list[int]) -> Form:
        nodes = sorted(range(len(colours)), key=colours.__getitem__)
        return tuple(
            (self.graph.labels[n], self._around(colours, self.graph.inputs[n]))
            for n in nodes
        )

    @staticmethod
    def _around(
        colours: list[int], edges: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[int, int], ...]:
        return tuple(sorted([(colours[node], port) for node, port in edges]))


def _rank(values: Sequence[Any]) -> list[int]:
    """Replace each value by its rank among the distinct values, from 0."""
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [ranks[value] for value in values]
