"""Tables of a forecast: what a search will cost, and what that assumes."""

import os

from rich.console import Group, RenderableType

from bqnn import machine
from bqnn.config import Config
from bqnn.evaluation.records import Status
from bqnn.forecast.forecast import Forecast
from bqnn.report.table import duration, make_table, numbers, si


def forecast_table(forecast: Forecast, config: Config, which: str) -> RenderableType:
    """Lay out what a search will cost, by number of workers.

    Args:
      forecast: of the search.
      config: of the search.
      which: search it is, for the title.
    """
    columns = numbers("workers", "h:min:s", "from", "to", "memory")
    rows = (
        (str(count), *map(duration, span), f"{si(count * forecast.memory)}B")
        for count, span in forecast.by_workers.items()
    )
    table = make_table(f"What {which} will cost", columns, rows)
    counts, trainings = forecast.statuses, forecast.trainings
    done = forecast.candidates - sum(counts.values())
    stopped = f" ({counts[Status.STOPPED]} to a rung)" if config.train.rungs else ""
    lines = [
        f"{forecast.candidates} candidates: {done} done, {trainings} to train{stopped}"
        f", {counts[Status.REUSED]} to reuse, {counts[Status.OVER_BUDGET]} over the "
        "budget"
    ]
    if trainings:
        train, epochs = config.train, f"{forecast.epochs / trainings:.1f}"
        if train.repeats > 1:
            epochs += f" epochs, its repeats of {train.epochs} each included"
        else:
            epochs += f" of {train.epochs} epochs"
        seconds = forecast.work / trainings
        lines.append(f"a training on average: {seconds:.3g} s for {epochs}")
    return Group(table, *lines, f"the journal at the end: {si(forecast.journal)}B")


def assumptions(forecast: Forecast) -> list[str]:
    """Say what a forecast assumes, and what the machine does beside it."""
    load, cores = os.getloadavg()[0], machine.cores()
    busy = f"; timed beside other work (load {load:.1f})" if load > cores else ""
    _, workers, slower, _, programs = forecast.measured
    return [
        f"compiled programs of all searches: {si(programs)}B",
        "from, to: accuracy comes by chance, or by the size of a block alone; and two "
        "standard errors of the timing",
        f"measured: {workers} at once take {slower:.2f} times as long as one alone; "
        f"assumed: no training fails or begins again{busy}",
    ]
