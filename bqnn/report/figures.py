"""Figures of a search on matplotlib axes, for notebooks and papers."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from bqnn.report.palette import LINES
from bqnn.report.rows import EvaluationRow, front
from bqnn.report.series import IterationStats

_MEANS = {"accuracy": (LINES[0], "-"), "reward": (LINES[1], "--")}
_COSTS = {"flops": "FLOPs of the block", "params": "parameters of the network"}


def curves(axes: Axes, points: Sequence[IterationStats]) -> Axes:
    """Draw reward and early-stop accuracy by iteration.

    Bands hold 80 % of a batch; grey stripes are darker where epsilon is larger.

    Args:
      axes: to draw on.
      points: one per iteration.

    Returns:
      The axes.
    """
    for point in points:
        left, grey = point.iteration - 0.5, 0.03 + 0.15 * point.epsilon
        axes.axvspan(left, left + 1, color="#5A5A5A", alpha=grey, linewidth=0)
    known = [point for point in points if point.evaluated > point.failed]
    x = [point.iteration for point in known]
    for name, (colour, style) in _MEANS.items():
        mean, low, high = (
            [getattr(point, f"{name}_{what}") for point in known]
            for what in ("mean", "low", "high")
        )
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, mean, style, color=colour, label=f"{name}, mean")
    best = [point.best_reward or 0.0 for point in known]
    axes.step(x, best, where="post", color=LINES[2], label="best reward so far")
    axes.set(xlabel="iteration", ylabel="reward, accuracy")
    axes.legend()
    return axes


def costs(axes: Axes, found: Sequence[EvaluationRow], cost: str = "flops") -> Axes:
    """Draw accuracy against a cost, by iteration, with the Pareto front.

    Args:
      axes: to draw on.
      found: the rows of a search.
      cost: `flops` (of the block) or `params` (of the network).

    Returns:
      The axes.

    Raises:
      KeyError: for another cost.
    """
    label = _COSTS[cost]
    known = [row for row in found if row.accuracy is not None]
    iterations = [row.iteration for row in known]
    marks = axes.scatter(*_marks(known, cost), c=iterations, s=14, alpha=0.75)
    best = [found[index] for index in front(found, cost)]
    axes.step(*_marks(best, cost), "k-D", where="post", markerfacecolor="none")
    axes.set(xscale="log", xlabel=label, ylabel="early-stop accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.figure.colorbar(marks, ax=axes, label="iteration")
    return axes


def _marks(
    found: Sequence[EvaluationRow], cost: str
) -> tuple[list[float], list[float]]:
    # A network with native widths can have more parameters than a float holds.
    costs = [float(min(getattr(row, cost), 1e300)) for row in found]
    return costs, [row.accuracy or 0.0 for row in found]
