"""TensorBoard files of a search: scalars, and pictures of the best blocks."""

from pathlib import Path
from typing import Self

from bqnn.search.events import Asked, Evaluated, Event, Told
from bqnn.search.summary import Summary, update
from bqnn.space.nsc import Block


class Board:
    """Writes event files as a search goes; a context manager.

    Evaluations are numbered in the order of their arrival, batches from 1. A search
    that goes on is written again from its journal, and replaces the earlier files.
    """

    def __init__(self, folder: Path, summary: Summary) -> None:
        """Start with no event.

        Args:
          folder: of the event files.
          summary: of a search before its first event.
        """
        from tensorboardX import SummaryWriter  # slow: imports all it can find

        self._summary = summary
        self._writer = SummaryWriter(str(folder), purge_step=0)

    def show(self, event: Event) -> None:
        """Take in one event."""
        before = self._summary
        self._summary = update(before, event)
        if isinstance(event, Asked):
            self._scalar("agent/epsilon", event.epsilon, event.iteration + 1)
        elif isinstance(event, Told):
            self._writer.flush()
        elif isinstance(event, Evaluated):
            self._evaluated(event, new_best=self._summary.best[:1] != before.best[:1])

    def _evaluated(self, event: Evaluated, new_best: bool) -> None:
        number = self._summary.done
        self._scalar("evaluation/reward", event.reward, number)
        self._scalar("evaluation/layers", len(event.candidate.block), number)
        for status, count in self._summary.counts.items():
            self._scalar(f"status/{status}", count, number)
        if event.evaluation.accuracy:
            self._scalar("evaluation/accuracy", event.evaluation.final, number)
        if self._summary.best:
            self._scalar("best/reward", self._summary.best[0].reward, number)
        if new_best:
            self._draw(event.candidate.block, number)

    def _draw(self, block: Block, number: int) -> None:
        from bqnn.report import draw  # slow: it imports matplotlib

        pixels = draw.to_pixels(draw.block_drawing(block))
        self._writer.add_image("best/block", pixels, number, dataformats="HWC")
        self._writer.add_text("best/nsc", str(block), number)

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        """Return the board."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the rest."""
        self._writer.close()
