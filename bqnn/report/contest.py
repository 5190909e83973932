"""Contest of blocks: its table, and a figure of accuracy against cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Column

from bqnn.errors import DataError
from bqnn.final.contest import Contestant, Ended, Standing
from bqnn.report.foreign import foreign, literal
from bqnn.report.palette import LINES
from bqnn.report.table import make_table, numbers, si
from bqnn.search.summary import headline
from bqnn.stats import Mean

_COSTS = ("parameters", "FLOPs of an image", "ms for an image")


def ended_line(ended: Ended, done: int, total: int) -> str:
    """Write the outcome of one training on one line."""
    accuracy = ended.evaluation.accuracy
    if accuracy:
        outcome = f"validation {accuracy[-1]:.2%}"
    else:
        outcome = f"{ended.evaluation.status}: {headline(ended.evaluation)}"
    return f"{done}/{total}: {ended.contestant.name}, seed {ended.seed}: {outcome}"


def contest_table(
    ranked: Sequence[Standing], latencies: Mapping[str, float], title: str
) -> RenderableType:
    """Lay out contestants by mean accuracy, and their blocks below.

    Args:
      ranked: best first.
      latencies: in milliseconds by name, of those that were measured.
      title: of the table.
    """
    columns = "accuracy", "95 % interval", "widths", "N", "params", "FLOPs", "latency"
    table = make_table(
        foreign(title),
        [*numbers(""), "block", *numbers(*columns), Column("failed", overflow="fold")],
        (
            (str(place), *_cells(one, latencies.get(one.contestant.name)))
            for place, one in enumerate(ranked, 1)
        ),
    )
    blocks = [f"{x.contestant.name}: {x.contestant.candidate.block}" for x in ranked]
    return Group(table, *blocks)


def save_figure(
    ranked: Sequence[Standing],
    latencies: Mapping[str, float],
    title: str,
    path: Path,
) -> None:
    """Draw mean accuracy against parameters, FLOPs and latency, a panel each.

    Args:
      ranked: the contestants; those without an accuracy are left out.
      latencies: in milliseconds by name.
      title: above the figure.
      path: of the picture; its ending names the format.

    Raises:
      DataError: if it cannot be written.
    """
    figure = Figure((13.5, 4.6), dpi=150, layout="constrained")
    figure.suptitle(literal(title), fontsize=10)
    panels = figure.subplots(1, len(_COSTS), sharey=True)
    known = [(x.contestant, x.mean) for x in ranked if x.mean is not None]
    names, means = [one.name for one, _ in known], [found for _, found in known]
    for index, (axes, label) in enumerate(zip(panels, _COSTS, strict=True)):
        costs = [_costs(one, latencies)[index] for one, _ in known]
        draw_points(axes, names, costs, means)
        axes.set_xlabel(label)
    panels[0].set_ylabel("validation accuracy, %")
    try:
        figure.savefig(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def draw_points(
    axes: Axes, names: Sequence[str], costs: Sequence[float], means: Sequence[Mean]
) -> None:
    """Draw accuracies with their intervals against one cost, and name them.

    Args:
      axes: to draw on.
      names: of the blocks; those of a search begin with `rank`, random ones with
        `random`, and these have colours of their own.
      costs: of their networks.
      means: of their accuracies, as fractions.
    """
    points = zip(names, costs, means, strict=True)
    for index, (name, cost, (value, (low, high))) in enumerate(points):
        below, above = 100 * (value - low), 100 * (high - value)
        axes.errorbar(
            cost,
            100 * value,
            yerr=[[below], [above]],
            fmt="o",
            color=_colour(name),
            markersize=4,
            linewidth=1,
            capsize=2,
        )
        axes.annotate(
            literal(name),
            (cost, float(100 * value)),
            xytext=(-5 if index % 2 else 5, 2),  # neighbours on different sides
            textcoords="offset points",
            horizontalalignment="right" if index % 2 else "left",
            fontsize=7,
        )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.margins(x=0.25)
    axes.locator_params(axis="x", nbins=4)  # FLOPs have many digits
    axes.spines[["top", "right"]].set_visible(False)


def _cells(standing: Standing, latency: float | None) -> tuple[str, ...]:
    (name, candidate, config), mean = standing.contestant, standing.mean
    failed = (f"seed {s}: {e.status}" for s, e in standing.failed.items())
    return (
        name,
        f"{mean.value:.2%}" if mean else "-",
        _interval(mean) if mean and len(standing.accuracies) > 1 else "-",
        ", ".join(map(str, config.network.widths)),
        str(config.network.repeats),
        si(candidate.network_params),
        si(candidate.network_flops),
        "-" if latency is None else f"{latency:.3g} ms",
        ", ".join(failed),
    )


def _interval(mean: Mean) -> str:
    low, high = mean.interval
    return f"{100 * low:.2f} to {100 * high:.2f}"


def _costs(one: Contestant, latencies: Mapping[str, float]) -> tuple[float, ...]:
    candidate = one.candidate
    return candidate.network_params, candidate.network_flops, latencies[one.name]


def _colour(name: str) -> str:
    if name.startswith("rank"):
        return LINES[0]
    return LINES[6] if name.startswith("random") else LINES[1]
