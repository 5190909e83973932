r"""Rank the blocks of a search by another reward.

  python -m launch.rescore --workdir=runs/first \
      --config.reward.mu=0 --config.reward.rho=4
  python -m launch.rescore --workdir=runs/first --config.reward.kind=accuracy
  python -m launch.rescore --workdir=runs/first \
      --weights=runs/calibrated/calibration.json
  python -m launch.rescore --workdir=runs/first --config.reward.target=500000

Nothing is trained and nothing written: rewards are computed from the journal. Weights
that are not given are those of the search; with --weights they are those that
launch.calibrate learnt. Under another reward the agent would have asked other blocks:
only another search can find them.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from bqnn.config import RewardConfig
from bqnn.errors import ConfigError
from bqnn.report.block_tables import NetworkSetting, best_blocks
from bqnn.report.rows import rescored
from bqnn.report.table import si
from bqnn.search import journal
from bqnn.search.calibration import Fit, read_fit
from bqnn.search.problem import Problem, make_problem
from bqnn.search.reward import Reward, constrained, learned_reward, make_reward
from launch import cli
from launch.fields import Field, fields

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_TOP = flags.DEFINE_integer("top", 10, "How many blocks to print.", lower_bound=1)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "Rank by the final accuracy that this calibration.json foretells."
)


def _define(field: Field) -> flags.FlagHolder[Any]:
    name, meaning = f"config.reward.{field.name}", field.meaning
    if isinstance(field.value, str):
        return flags.DEFINE_string(name, None, meaning)
    if isinstance(field.value, float):
        return flags.DEFINE_float(name, None, meaning)
    return flags.DEFINE_integer(name, None, meaning)  # also one that may be None


_FIELDS = {
    field.name: _define(field)
    for field in fields(RewardConfig(), RewardConfig())
    if not field.name.startswith("full_")  # of trainings, and nothing is trained
}


def main() -> None:
    """Print the best blocks by the reward given."""
    with journal.open_readonly(Path(_WORKDIR.value)) as facts:
        run, history = facts.run(), facts.history()
    problem = make_problem(run.config, run.images)
    reward, name = _reward(problem, history.fit)
    ranked = rescored(problem, history, reward)
    best = ranked[: _TOP.value]
    console = cli.console()
    setting = NetworkSetting(run.config.network, run.images)
    events, before = [r.event for r in best], [r.before for r in best]
    console.print(best_blocks(events, before, setting))
    console.print(
        f"{len(ranked)} blocks, ranked with {name}; before, with "
        f"{_named(problem.config.reward, history.fit)}",
        soft_wrap=True,
    )


def _reward(problem: Problem, learnt: Fit | None) -> tuple[Reward, str]:
    """Make the reward that the flags ask for, and name it.

    Args:
      problem: of the search.
      learnt: the fit by which the search rewards blocks in the end, if there is one.
    """
    if _WEIGHTS.value:
        cli.refuse([flag.name for flag in _FIELDS.values()], "with --weights")
        fitted = read_fit(Path(_WEIGHTS.value))
        terms = zip(fitted.terms, fitted.weights, strict=True)
        name = ", ".join(f"{term} {weight:.4g}" for term, weight in terms)
        return learned_reward(fitted, problem.images.num_classes), name
    given = {k: flag.value for k, flag in _FIELDS.items() if flag.value is not None}
    config = dataclasses.replace(problem.config.reward, **given)
    if config.cost == "latency" and problem.config.budget.latency_table is None:
        raise ConfigError(
            "--config.reward.cost=latency: the search had no table of latencies: want "
            "flops or params"
        )
    if config.kind == "learned" and learnt:
        reward = learned_reward(learnt, problem.images.num_classes)
        return constrained(reward, config), _named(config, learnt)
    if "kind" in given and config.kind == "learned":
        raise ConfigError(
            "the search has learnt no reward: give the --weights of launch.calibrate"
        )
    reward = make_reward(config, problem.config.network, problem.images)
    return reward, _named(config, learnt)


def _named(config: RewardConfig, learnt: Fit | None) -> str:
    name = _kind_named(config, learnt)
    if config.target is None:
        return name
    return f"{name}, for {si(config.target)} {config.cost}"


def _kind_named(config: RewardConfig, learnt: Fit | None) -> str:
    if config.kind == "learned" and learnt:
        return f"what {learnt.blocks} trainings in full foretell"
    if config.kind != "paper":
        return "early accuracy alone"
    return f"mu {config.mu:g} and rho {config.rho:g}"


if __name__ == "__main__":
    cli.run(main)
