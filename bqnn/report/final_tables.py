"""Tables of full training: blocks by final accuracy, a network's test results."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Column, Table

from bqnn.final.measure import Measured
from bqnn.final.metrics import ClassMetrics
from bqnn.final.selection import Correlations, Trained
from bqnn.report.foreign import foreign
from bqnn.report.table import folded, make_table, numbers, percent, si
from bqnn.search.summary import headline
from bqnn.stats import Interval

# The table holds all classes, or the worst if there are more.
_MOST_CLASSES, _WORST = 20, 10


def trained_line(trained: Trained, done: int, total: int, what: str = "rank") -> str:
    """Write the result of one block on one line.

    Args:
      trained: the block.
      done: how many are trained.
      total: how many will be.
      what: its number counts, as its folder does.
    """
    if trained.accuracy is None:
        outcome = f"{trained.evaluation.status}: {headline(trained.evaluation)}"
    else:
        early = trained.found.evaluation.final
        outcome = f"validation {trained.accuracy:.2%} (in the search {early:.2%})"
    return f"{done}/{total}: {what} {trained.rank}: {outcome}"


def final_ranking(
    ranked: Sequence[Trained], correlations: Correlations | None
) -> RenderableType:
    """Lay out blocks by final accuracy, and how the search had ranked them."""
    table = make_table(
        "Blocks by validation accuracy after full training",
        [
            *numbers("", "rank in search"),
            folded("NSC"),
            *numbers("reward", "early accuracy", "accuracy"),
        ],
        (
            (str(rank), *_ranked_cells(trained))
            for rank, trained in enumerate(ranked, 1)
        ),
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


def measured_summary(measured: Measured, title: str) -> Table:
    """Tabulate the results over the whole test split."""
    found, speed = measured.metrics, measured.speed
    top5 = {} if found.top5 is None else {"top-5 accuracy": f"{found.top5:.2%}"}
    facts = {
        "images": f"{found.classes.images.sum():,}",
        "top-1 accuracy": f"{found.top1:.2%}",
        **top5,
        "loss": f"{found.loss:.4f}",
        "calibration error": f"{found.calibration_error:.2%}",
        "parameters": si(measured.params),
        "one image": f"{speed.latency:.3g} ms",
        "one image, 95th percentile": f"{speed.latency95:.3g} ms",
        f"in batches of {measured.batch:,}": f"{speed.images_per_second:,.0f} images/s",
    }
    columns = "", Column("", justify="right")
    table = make_table(foreign(title), columns, facts.items())
    table.show_header = False
    return table


def class_table(classes: ClassMetrics, class_names: Sequence[str]) -> Table:
    """Tabulate the classes: all of them, or of many those with the lowest F1."""
    order, title = [*range(len(class_names))], "Classes"
    if len(order) > _MOST_CLASSES:
        # NaN sorts last: a class without images is no bad one.
        order = np.argsort(classes.f1, kind="stable")[:_WORST].tolist()
        title = f"The {_WORST} worst of {len(class_names)} classes, by F1"
    ratios = np.stack([classes.recall, classes.precision, classes.f1], axis=1)
    return make_table(
        title,
        [
            Column("class", overflow="fold"),
            *numbers("images", "accuracy (recall)", "precision", "F1"),
        ],
        (
            (foreign(class_names[k]), str(classes.images[k]), *map(percent, ratios[k]))
            for k in order
        ),
    )


def _ranked_cells(trained: Trained) -> tuple[str, ...]:
    final, (candidate, evaluation, reward, _) = trained.accuracy, trained.found
    return (
        str(trained.rank),
        str(candidate.block),
        f"{reward:.4f}",
        f"{evaluation.final:.2%}",
        str(trained.evaluation.status) if final is None else f"{final:.2%}",
    )


def _ends(interval: Interval) -> str:
    return f"{interval.low:+.3f} to {interval.high:+.3f}"
