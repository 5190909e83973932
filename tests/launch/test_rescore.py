"""Blocks ranked by other weights of the reward."""

import dataclasses
import json
import re
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


def test_accuracy_and_learned_weights_rank_too(searched: Path, tmp_path: Path) -> None:
    weights, where = tmp_path / "calibration.json", f"--workdir={searched}"
    ends = {"weight": -1.0, "low": -2.0, "high": 0.0}
    fitted = {"format": 1, "blocks": 8, "intercept": 1.0, "terms": {"accuracy": ends}}
    weights.write_text(json.dumps(fitted))
    accuracy, learned, limited, no_kind, mixed, damaged, slow = answers(
        "rescore",
        [
            [where, "--config.reward.kind=accuracy", "--top=99"],
            [where, f"--weights={weights}", "--top=99"],
            [where, "--config.reward.target=1000", "--config.reward.cost=params"],
            [where, "--config.reward.kind=luck"],
            [where, f"--weights={weights}", "--config.reward.mu=0"],
            [where, f"--weights={searched / 'journal.sqlite'}"],
            [where, "--config.reward.target=1000", "--config.reward.cost=latency"],
        ],
    )
    assert (
        "ranked with early accuracy alone; before, with mu 1 and rho 8" in accuracy.out
    )
    assert "ranked with accuracy -1; before, with mu 1 and rho 8" in learned.out
    assert "with mu 1 and rho 8, for 1 k params; before, with mu 1 and" in limited.out
    best = [_accuracies(found.out) for found in (accuracy, learned)]
    assert best[0] == sorted(best[0], reverse=True) and best[1] == sorted(best[0])
    assert len(best[0]) > 5
    assert [a.status for a in (no_kind, mixed, damaged, slow)] == [2, 2, 1, 2]
    assert "the search had no table of latencies: want flops or params" in slow.err
    assert "reward.kind is 'luck': want paper or accuracy or learned" in no_kind.err
    assert "--config.reward.mu has no effect with --weights: leave it" in mixed.err
    assert "is no calibration" in damaged.err and damaged.err.count("\n") == 1


def _accuracies(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"│ +([0-9.]+)% │", text)]
