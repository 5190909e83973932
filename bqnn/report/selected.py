"""The blocks of a search after full training, as text and as a table."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from bqnn.final.selection import Correlations, Trained
from bqnn.search.summary import headline
from bqnn.stats import Interval


def trained_line(trained: Trained, done: int, total: int) -> str:
    """Write what came of one block on one line."""
    if trained.accuracy is None:
        outcome = f"{trained.evaluation.status}: {headline(trained.evaluation)}"
    else:
        early = trained.found.evaluation.accuracy[-1]
        outcome = f"validation {trained.accuracy:.2%} (in the search {early:.2%})"
    return f"{done}/{total}: rank {trained.rank}: {outcome}"


def final_ranking(
    ranked: Sequence[Trained], correlations: Correlations | None
) -> RenderableType:
    """Lay out blocks by final accuracy, and how the search had ranked them."""
    table = Table(title="Blocks by validation accuracy after full training")
    for name, justify in (
        ("", "right"),
        ("rank in search", "right"),
        ("NSC", "left"),
        ("reward", "right"),
        ("early accuracy", "right"),
        ("accuracy", "right"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for place, trained in enumerate(ranked, 1):
        final = trained.accuracy
        table.add_row(
            str(place),
            str(trained.rank),
            str(trained.found.candidate.block),
            f"{trained.found.reward:.4f}",
            f"{trained.found.evaluation.accuracy[-1]:.2%}",
            str(trained.evaluation.status) if final is None else f"{final:.2%}",
        )
    if correlations is None:
        return Group(table, "fewer than three blocks: no rank correlation")
    lines = [
        f"rank correlation of early {name} and final accuracy: "
        f"Spearman {found.spearman:.3f} (95 %: {_ends(found.interval)}), "
        f"Kendall {found.kendall:.3f}"
        for name, found in correlations.by_measure.items()
    ]
    lines.append(
        "the reward's correction for FLOPs and density changes Spearman's by "
        f"{_ends(correlations.gain)} (95 %)"
    )
    return Group(table, *lines)


def _ends(interval: Interval) -> str:
    return f"{interval.low:+.3f} to {interval.high:+.3f}"
