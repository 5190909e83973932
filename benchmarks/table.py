"""Tables: the results of a benchmark for the terminal."""

from collections.abc import Callable, Sequence

from rich.table import Table

from benchmarks.candidates import BASELINE, CandidateRow
from benchmarks.final import FinalRow
from benchmarks.kernels import KernelRow
from benchmarks.ranking import RankingRow
from benchmarks.repeats import RepeatRow
from benchmarks.rewards import RewardRow
from benchmarks.scale import ScaleRow
from benchmarks.stopping import StoppingRow
from benchmarks.throughput import Throughput


def candidate_table(rows: Sequence[CandidateRow]) -> Table:
    """Tabulate candidates end to end."""
    table = Table(title="Candidates end to end: medians over the blocks")
    table.add_column("setting")
    table.add_column("contender")
    for name in (
        "workers",
        "candidates/h",
        f"time / {BASELINE}",
        "95 % of its mean",
        "fixed s",
        "images/s",
        "of matmul rate",
        "peak MB",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.setting,
            row.contender,
            str(row.workers),
            f"{row.per_hour:,.0f}",
            f"{row.speedup:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            f"{row.fixed:.3f}",
            f"{row.images_per_second:,.0f}",
            f"{row.of_matmul:.0%}",
            f"{row.peak / 1e6:,.0f}",
        )
    return table


def final_table(rows: Sequence[FinalRow]) -> Table:
    """Tabulate full training."""
    table = Table(title="Full training: medians over the blocks")
    table.add_column("setting")
    table.add_column("contender")
    for name in (
        "threads",
        "blocks",
        "images/s",
        "rate / PyTorch [95 %]",
        "worst to best block",
        "first step s",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.setting,
            row.contender,
            str(row.threads),
            str(row.blocks),
            f"{row.images_per_second:,.0f}",
            ""
            if row.ratio is None
            else f"{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]",
            "" if row.ratio is None else f"{row.slowest:.2f} to {row.fastest:.2f}",
            f"{row.first:.1f}",
        )
    return table


def kernel_table(rows: Sequence[KernelRow]) -> Table:
    """Tabulate kernels."""
    table = Table(title="Kernels, value and gradient: milliseconds, medians")
    table.add_column("kernel")
    table.add_column("shape")
    for name in ("ours", "plain", "plain / ours", "PyTorch", "ours / PyTorch"):
        table.add_column(name, justify="right")
    for row in rows:
        torch = row.torch
        table.add_row(
            row.kernel,
            "x".join(map(str, row.shape)),
            f"{row.ours * 1e3:.2f}",
            f"{row.plain * 1e3:.2f}",
            f"{row.speedup:.1f}",
            "" if torch is None else f"{torch * 1e3:.2f}",
            "" if torch is None else f"{row.ours / torch:.2f}",
        )
    return table


def ranking_table(rows: Sequence[RankingRow]) -> Table:
    """Tabulate models: a row per value and model, a column per number of told blocks.

    Args:
      rows: of one table.
    """
    cells = {(row.against, row.model, row.told): row for row in rows}
    counts = sorted({row.told for row in rows})
    table = Table(title=f"{rows[0].table}: Kendall's tau of blocks not told [95 %]")
    table.add_column("against")
    table.add_column("model")
    for count in counts:
        table.add_column(f"{count} told", justify="right")
    table.add_column(f"CPU s at {counts[-1]}", justify="right")
    for against, model in sorted({key[:2] for key in cells}):
        line = [cells[against, model, count] for count in counts]
        taus = [f"{row.tau:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in line]
        table.add_row(against, model, *taus, f"{line[-1].seconds:.2f}")
    return table


def utilisation_table(rows: Sequence[ScaleRow]) -> Table:
    """Tabulate utilisation: a row per order, a column per number of workers."""
    return _by_workers(
        rows, "Utilisation of the workers", lambda row: f"{row.utilisation:.3f}"
    )


def master_table(rows: Sequence[ScaleRow]) -> Table:
    """Tabulate the master: time per evaluation, memory early and late."""
    return _by_workers(
        rows,
        "The master: ms per evaluation; resident MB after a quarter -> at the end",
        lambda row: (
            f"{row.master_ms:.2f}; {row.early / 1e6:.0f} -> {row.late / 1e6:.0f}"
        ),
    )


def _by_workers(
    rows: Sequence[ScaleRow], title: str, write: Callable[[ScaleRow], str]
) -> Table:
    cells = {(row.order, row.workers): write(row) for row in rows}
    orders, workers = dict.fromkeys(r.order for r in rows), {r.workers for r in rows}
    table = Table(title=title, title_justify="left")
    table.add_column("order")
    for count in sorted(workers):
        table.add_column(f"{count:,} workers", justify="right")
    for order in orders:
        table.add_row(order, *(cells[order, count] for count in sorted(workers)))
    return table


def throughput_table(rows: Sequence[Throughput]) -> Table:
    """Tabulate whole searches; ratios are relative to the first row."""
    table = Table(title="A search of trained candidates, workers ready before")
    for name in ("workers", "candidates", "seconds", "candidates/h", "ratio"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.workers}, on one core" if row.workers == 1 else str(row.workers),
            str(row.candidates),
            f"{row.seconds:.1f}",
            f"{row.per_hour:,.0f}",
            f"{row.per_hour / rows[0].per_hour:.2f}",
        )
    return table


def reward_table(rows: Sequence[RewardRow]) -> Table:
    """Tabulate how rewards rank one table."""
    table = Table(title=f"{rows[0].table}: Spearman with final accuracy [95 %]")
    table.add_column("reward")
    table.add_column("trained in full", justify="right")
    for over in dict.fromkeys(row.over for row in rows):
        table.add_column(over, justify="right")
    by_reward = {(row.reward, row.trained): None for row in rows}
    for key in by_reward:
        found = [row for row in rows if (row.reward, row.trained) == key]
        reward, trained = key
        table.add_row(reward, str(trained or "-"), *map(_spearman, found))
    return table


def stopping_table(rows: Sequence[StoppingRow], order: str) -> Table:
    """Tabulate stopping rules; all but the rank correlation in per cent."""
    table = Table(title=f"Stopping rules, {order} [95 %]")
    table.add_column("rule")
    for head in _STOPPING:
        table.add_column(head, justify="right")
    for row in rows:
        columns = zip(row.means, row.lows, row.highs, strict=True)
        cells = (
            f"{mean * scale:{form}} [{low * scale:{form}}, {high * scale:{form}}]"
            for (scale, form), (mean, low, high) in zip(
                _STOPPING.values(), columns, strict=True
            )
        )
        table.add_row(row.rule, *cells)
    return table


_STOPPING = {
    "epochs": (100, ".3g"),
    "best kept": (100, ".0f"),
    "lost": (100, ".2f"),
    "told (Spearman)": (1, ".2f"),
    "to the best": (100, ".0f"),
}
"""Scale and format of the fields of `benchmarks.stopping.Replay`."""


def repeat_table(rows: Sequence[RepeatRow]) -> Table:
    """Tabulate searches that train their best several times; accuracies in per cent."""
    table = Table(title="The best block of a search, trained again [95 %]")
    heads = "candidates", "repeats", "trainings", "told", "unseen"
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        ends = f"[{100 * row.low:.1f}, {100 * row.high:.1f}]"
        table.add_row(
            str(row.candidates),
            str(row.repeats),
            f"{row.trained:.0f}",
            f"{100 * row.told:.1f}",
            f"{100 * row.unseen:.1f} {ends}",
        )
    return table


def _spearman(row: RewardRow) -> str:
    ends = f" ({row.low:.3f} to {row.high:.3f})" if row.trained else ""
    return f"{row.spearman:.3f}{ends}"
