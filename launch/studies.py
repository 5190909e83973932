"""Studies: parts of launch.bench that learn from tables, or replay curves."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from launch import cli

_TABLE = flags.DEFINE_string(
    "table", None, "NAS-Bench-201 as csv: models and rewards rank its cells too."
)
_TOLD = flags.DEFINE_multi_integer(
    "told", [25, 50, 100, 200], "Blocks that models are told.", 2, 800
)
_DRAWS = flags.DEFINE_integer(
    "draws",
    20,
    "How often models and rewards learn from other blocks, how many random orders of "
    "the curves rules are replayed on, and how many searches repeat their best.",
    2,
)
_CURVES = flags.DEFINE_multi_string(
    "curves",
    None,
    "Directory of a search that trained every candidate whole, on whose curves rules "
    "that stop trainings are replayed; several of one recipe may be given.",
)
_ORDER = flags.DEFINE_enum(
    "order",
    "random",
    ["random", "asked"],
    "In which rules are given the blocks: at random from all directories, or each "
    "directory as its agent asked, which learns and asks for better ones.",
)
_LAG = flags.DEFINE_integer(
    "lag", None, "In place of the search.lag of these searches.", lower_bound=0
)


def read_by() -> dict[str, Sequence[str]]:
    """Say which parts read a flag of this module."""
    drawn = ("stopping",) if _ORDER.value == "random" else ()
    return {
        "table": ("models", "rewards"),
        "told": ("models",),
        "draws": ("models", "rewards", "repeats", *drawn),
        "curves": ("stopping",),
        "order": ("stopping",),
        "lag": ("stopping",),
    }


def _models(console: Console) -> list[dict[str, Any]]:
    from benchmarks import models, ranking, table

    if not models.TREES:
        console.print("without trees: pip install scikit-learn to compare with them")
    told, draws = _TOLD.value, _DRAWS.value
    rows: list[ranking.RankingRow] = []
    for name, benchmark in ranking.tables(_TABLE.value).items():
        for on_draw in cli.progress(console, f"models, {name}", len(told) * draws):
            measured = [
                *ranking.measure(name, benchmark, models.MODELS, told, draws, on_draw)
            ]
        console.print(table.ranking_table(measured))
        rows.extend(measured)
    return [row._asdict() for row in rows]


def _rewards(console: Console) -> list[dict[str, Any]]:
    from benchmarks import rewards, table

    rows: list[rewards.RewardRow] = []
    for name, blocks in rewards.tables(_TABLE.value):
        jobs = len(rewards.COUNTS) * _DRAWS.value
        for on_draw in cli.progress(console, f"rewards, {name}", jobs):
            measured = [*rewards.measure(name, blocks, _DRAWS.value, on_draw)]
        console.print(table.reward_table(measured))
        rows.extend(measured)
    return [row._asdict() for row in rows]


def _stopping(console: Console) -> list[dict[str, Any]]:
    from benchmarks import stopping, table
    from benchmarks.stopping_rules import RULES

    if not _CURVES.value:
        console.print("without curves to stop: --curves=DIR of a search gives them")
        return []
    searches = stopping.read([Path(folder) for folder in _CURVES.value])
    if _LAG.value is not None:
        searches = [search._replace(lag=_LAG.value) for search in searches]
    order = f"{len(searches)} searches as asked"
    if _ORDER.value == "random":
        searches = stopping.in_random_order(searches, _DRAWS.value)
        order = f"{len(searches)} random orders"
    for on_rule in cli.progress(console, "stopping rules", len(RULES)):
        rows = [*stopping.measure(searches, on_rule=on_rule)]
    console.print(table.stopping_table(rows, order))
    return [
        {
            "rule": row.rule,
            "mean": row.means._asdict(),
            "low": row.lows._asdict(),
            "high": row.highs._asdict(),
        }
        for row in rows
    ]


def _repeats(console: Console) -> list[dict[str, Any]]:
    from benchmarks import repeats, table

    jobs = len(repeats.SETTINGS) * _DRAWS.value
    for on_search in cli.progress(console, "repeats", jobs):
        rows = [*repeats.measure(repeats.read(), _DRAWS.value, on_search)]
    console.print(table.repeat_table(rows))
    return [row._asdict() for row in rows]


PARTS: Mapping[str, Callable[[Console], list[dict[str, Any]]]] = {
    "models": _models,
    "rewards": _rewards,
    "stopping": _stopping,
    "repeats": _repeats,
}
"""What measures each part, and prints its tables."""
