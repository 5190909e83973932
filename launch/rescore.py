r"""Rank the blocks of a search by other weights of the reward.

  python -m launch.rescore --workdir=runs/first \
      --config.reward.mu=0 --config.reward.rho=4

Nothing is trained and nothing written: rewards are computed from the journal. Weights
that are not given are those of the search. Under other weights the agent would have
asked other blocks: only another search can find them.
"""

import dataclasses
from pathlib import Path

from absl import flags

from bqnn.config import RewardConfig
from bqnn.report.block_tables import best_blocks
from bqnn.report.rows import rescored
from bqnn.search import journal
from bqnn.search.problem import make_problem
from launch import cli
from launch.fields import fields

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_TOP = flags.DEFINE_integer("top", 10, "How many blocks to print.", lower_bound=1)
_WEIGHTS = {
    field.name: flags.DEFINE_float(f"config.reward.{field.name}", None, field.meaning)
    for field in fields(RewardConfig(), RewardConfig())
}


def main() -> None:
    """Print the best blocks by the weights given."""
    with journal.open_readonly(Path(_WORKDIR.value)) as facts:
        run, history = facts.run(), facts.history()
    own = run.config.reward
    given = {k: flag.value for k, flag in _WEIGHTS.items() if flag.value is not None}
    weights = dataclasses.replace(own, **given)
    ranked = rescored(make_problem(run.config, run.images), history, weights)
    best = ranked[: _TOP.value]
    console = cli.console()
    console.print(best_blocks([r.event for r in best], [r.before for r in best]))
    console.print(
        f"{len(ranked)} blocks, ranked with mu {weights.mu:g} and rho {weights.rho:g}; "
        f"before, with mu {own.mu:g} and rho {own.rho:g}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    cli.run(main)
