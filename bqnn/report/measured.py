"""Tables of what a trained network is worth."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from bqnn.final.measure import Measured
from bqnn.final.metrics import ClassMetrics
from bqnn.report.foreign import foreign
from bqnn.report.tables import si

# All classes are shown, or the worst.
_MOST_CLASSES, _WORST = 20, 10


def measured_summary(measured: Measured, title: str) -> Table:
    """Tabulate what holds for the whole test split."""
    found, speed = measured.metrics, measured.speed
    table = Table(title=foreign(title), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("images", f"{found.classes.images.sum():,}")
    table.add_row("top-1 accuracy", f"{found.top1:.2%}")
    if found.top5 is not None:
        table.add_row("top-5 accuracy", f"{found.top5:.2%}")
    table.add_row("loss", f"{found.loss:.4f}")
    table.add_row("calibration error", f"{found.calibration_error:.2%}")
    table.add_row("parameters", si(measured.params))
    table.add_row("one image", f"{speed.latency:.3g} ms")
    table.add_row("one image, 95th percentile", f"{speed.latency95:.3g} ms")
    table.add_row(
        f"in batches of {measured.batch:,}", f"{speed.images_per_second:,.0f} images/s"
    )
    return table


def class_table(classes: ClassMetrics, class_names: Sequence[str]) -> Table:
    """Tabulate the classes: all of them, or of many those with the lowest F1."""
    order, title = [*range(len(class_names))], "Classes"
    if len(order) > _MOST_CLASSES:
        # NaN sorts last: a class without images is no bad one.
        order = np.argsort(classes.f1, kind="stable")[:_WORST].tolist()
        title = f"The {_WORST} worst of {len(class_names)} classes, by F1"
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    for name in ("images", "accuracy (recall)", "precision", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    for place in order:
        ratios = (classes.recall, classes.precision, classes.f1)
        table.add_row(
            foreign(class_names[place]),
            str(classes.images[place]),
            *(_percent(values[place]) for values in ratios),
        )
    return table


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2%}"
