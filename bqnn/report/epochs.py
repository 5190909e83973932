"""Progress of a full training: a bar in a terminal, and a line per epoch."""

from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bqnn.final.loop import EpochEnded, Event


class EpochDisplay:
    """Shows the events of a training; a context manager."""

    def __init__(self, console: Console, epochs: int, title: str = "epoch") -> None:
        """Start with nothing shown."""
        self._console, self._epochs, self._title = console, epochs, title
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=epochs, rate="")

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Take in one event; a recorded epoch is counted, and has no line."""
        if not isinstance(event, EpochEnded):
            done = event.epoch + (event.step + 1) / event.steps
            self._bar.update(self._task, completed=done)
            return
        row = event.row
        rate = f"{row['images_per_second']:,.0f} images/s"
        self._bar.update(self._task, completed=row["epoch"], rate=rate)
        if not event.recorded:
            line = f"{self._title} {row['epoch']}/{self._epochs}: {epoch_line(row)}"
            self._console.print(line, highlight=False, soft_wrap=True)


def epoch_line(row: dict[str, Any]) -> str:
    """Write the results of an epoch on one line."""
    parts = [f"loss {row['loss']:.4f}", f"accuracy {row['accuracy']:.2%}"]
    if "validation_accuracy" in row:
        parts.append(f"validation {row['validation_accuracy']:.2%}")
    parts.append(f"learning rate {row['learning_rate']:.3g}")
    parts.append(f"{row['images_per_second']:,.0f} images/s, {row['seconds']:.1f} s")
    return ", ".join(parts)
