"""Blocks ranked by other weights of the reward."""

import dataclasses
from pathlib import Path

from bqnn.config import RewardConfig
from bqnn.report.rows import rescored
from bqnn.search import journal
from bqnn.search.settled import evaluated, ranking
from bqnn.search.summary import Summary, update
from tests.helpers.programs import answers, run
from tests.helpers.searches import problem_of


def test_the_rank_before_is_the_one_that_the_search_reports(searched: Path) -> None:
    with journal.open_readonly(searched) as facts:
        found, history = facts.run(), facts.history()
    problem = problem_of(found.config)
    events = list(evaluated(problem, history))
    summary = Summary(problem.iterations, found.config.search.batch, top=len(events))
    for event in events:
        summary = update(summary, event)
    assert ranking(events) == [*summary.best]
    same = rescored(problem, history, problem.reward)
    assert [entry.event for entry in same] == [*summary.best]
    assert [entry.before for entry in same] == [*range(1, len(same) + 1)]


def test_other_weights_rank_as_a_search_with_them_would(searched: Path) -> None:
    with journal.open_readonly(searched) as facts:
        found, history = facts.run(), facts.history()
    problem, weights = problem_of(found.config), RewardConfig(mu=20.0, rho=0.0)
    other = problem_of(dataclasses.replace(found.config, reward=weights))
    ranked = rescored(problem, history, other.reward)
    assert sorted(entry.before for entry in ranked) == [*range(1, len(ranked) + 1)]
    assert [entry.before for entry in ranked] != [*range(1, len(ranked) + 1)]
    assert [entry.event for entry in ranked] == ranking([*evaluated(other, history)])


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_program_prints_a_table_and_writes_nothing(searched: Path) -> None:
    before = _files(searched)
    weights = "--config.reward.mu=0", "--config.reward.rho=0"
    where = f"--workdir={searched}"
    table = run("rescore", where, "--top=2", *weights)
    unknown, wrong, unlearnt, help_text = answers(
        "rescore",
        [
            [where, "--config.reward.nu=1"],
            [where, "--config.reward.mu=nan"],
            [where, "--config.reward.kind=learned"],
            ["--help"],
        ],
    )
    assert (table.status, table.err) == (0, "")
    assert "The 2 best blocks" in table.out and "before" in table.out
    assert "ranked with mu 0 and rho 0; before, with mu 1 and rho 8" in table.out
    assert _files(searched) == before
    assert unknown.status == wrong.status == 2
    assert "reward has no field 'nu', only kind, mu, rho" in unknown.err
    assert "reward.mu is nan" in wrong.err
    assert "--config.reward.rho: of log(density) of the block." in help_text.out
    assert unlearnt.status == 2
    assert "the search has learnt no reward: give the --weights" in unlearnt.err
