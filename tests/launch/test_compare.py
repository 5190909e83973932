"""`launch.compare` and `launch.oracle` as a user runs them."""

import csv
from pathlib import Path

import pytest

from tests.helpers import programs
from tests.helpers.paths import ASSETS, SHARED

ORACLE = ASSETS / "oracle.csv"
CELLS = SHARED / "data" / "nasbench201.csv"
PNG = b"\x89PNG"


def _table(workdir: Path, *arguments: str) -> tuple[str, ...]:
    return (
        "compare",
        "--space=nsc",
        f"--evaluator=table:{ORACLE}",
        "--config.space.max_layers=3",
        f"--workdir={workdir}",
        *arguments,
    )


def test_agents_are_compared_on_the_oracle(tmp_path: Path) -> None:
    arguments = "--agents=random,q(alpha=0.5)", "--budgets=5", "--seeds=30"
    command = _table(tmp_path, *arguments)
    first, again = programs.run(*command), programs.answer(*command)
    assert (first.status, first.err) == (0, "")
    assert first == again
    assert "q(alpha=0.5)" in first.out and "best found" in first.out
    with (tmp_path / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["agent"], row["evaluations"]) for row in rows] == [
        ("random", "5"),
        ("q(alpha=0.5)", "5"),
    ]
    for row in rows:
        assert 0.2 < float(row["low"]) <= float(row["mean"]) <= float(row["high"]) < 1
        assert float(row["regret"]) >= 0
        assert 1 < float(row["trained"]) <= 5 and row["seconds"] == ""
    with (tmp_path / "curves.csv").open() as file:
        assert sum(1 for _ in csv.DictReader(file)) == 2 * 5
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)


MINE = """lr,depth,accuracy,test,seconds
0.1,1,71.5,70.2,10
0.1,2,74.0,73.1,18
0.01,1,69.0,69.3,11
0.01,2,73.0,73.9,20
"""


def test_a_table_of_ones_own_is_compared(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(MINE)
    columns = "--told=accuracy", "--reported=test", "--seconds=seconds"
    result = programs.answer(
        "compare",
        f"--space=table:{tmp_path / 'mine.csv'}",
        *(*columns, "--x=seconds", "--agents=random", "--budgets=9", "--seeds=3"),
        f"--workdir={tmp_path}",
    )
    assert (result.status, result.err) == (0, "")
    assert "mine.csv, 3 seeds" in result.out and "test, %" in result.out
    with (tmp_path / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0.69 < float(row["mean"]) < 0.74
    assert float(row["trained"]) <= 4 and float(row["seconds"]) <= 59
    with (tmp_path / "curves.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [row["evaluations"] for row in curve] == [str(n) for n in range(1, 10)]
    assert curve[0]["trained"] == "1"
    assert curve[-1]["seconds"] == row["seconds"]


@pytest.mark.skipif(not CELLS.exists(), reason="NAS-Bench-201 is missing")
def test_trainings_in_full_are_counted(tmp_path: Path) -> None:
    result = programs.answer(
        "compare",
        *("--space=nasbench201", f"--evaluator=table:{CELLS}", f"--workdir={tmp_path}"),
        *("--config.reward.kind=learned", "--config.reward.full_blocks=3"),
        *("--agents=random(distinct=True)", "--budgets=46", "--seeds=2"),
    )
    assert (result.status, result.err) == (0, "")
    assert "in full, to learn the reward, counts as 16.7 evaluations" in result.out
    with (tmp_path / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    # The cost of 96 evaluations: 46, and three times 200 epochs instead of 12.
    assert float(row["trained"]) == 96
    assert row["found_best"] == row["evaluations_to_target"] == ""


@pytest.mark.skipif(not CELLS.exists(), reason="NAS-Bench-201 is missing")
def test_fronts_are_compared(tmp_path: Path) -> None:
    result = programs.answer(
        "compare",
        *("--space=nasbench201", f"--evaluator=table:{CELLS}", f"--workdir={tmp_path}"),
        *("--front", "--budgets=24", "--seeds=2"),
        "--agents=random,evolution(goal='front',population=8)",
    )
    assert (result.status, result.err) == (0, "")
    with (tmp_path / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["agent"] == "evolution(goal=front, population=8)"
    for row in rows:
        # Of test accuracies on CIFAR-100; the regret is that of the best front.
        assert 0.3 < float(row["mean"]) < 0.75
        best = float(row["mean"]) + float(row["regret"])
        assert best == pytest.approx(0.68795, abs=1e-4)


def test_mistakes_are_one_line_each(tmp_path: Path) -> None:
    mistakes = {
        ("--agents=sarsa",): (2, "there is no agent 'sarsa'"),
        ("--budgets=10,many",): (2, "--budgets='10,many': want numbers"),
        ("--evaluator=tabel",): (2, "table:FILE, or train with --space=nsc"),
        ("--x=seconds",): (2, "--x=seconds: this table has no seconds"),
        ("--dataset=svhn", "--space=nasbench201"): (2, "--dataset='svhn': want cifar"),
        ("--front",): (2, "a front: this table does not know costs"),
        ("--agents=q(goal='front')",): (2, "a front: this table does not know costs"),
        ("--agents=q(goal='best')",): (2, "agent.goal is 'best': want reward or front"),
        ("--config.reward.kind=learned",): (2, "this table does not know trainings in"),
        ("--evaluator=table:none.csv",): (1, "none.csv: No such file"),
        ("--config.space.max_layers=2", "--space=nasbench201"): (1, "want csv with a"),
    }
    for arguments, (status, message) in mistakes.items():
        result = programs.answer(*_table(tmp_path, *arguments))
        assert message in result.err
        assert result.err.startswith("error: ") and result.err.count("\n") == 1
        assert result.status == status


def test_an_oracle_is_trained_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "oracle.csv"
    arguments = (
        "--config=launch/configs/rivals.py",
        "--config.space.max_layers=1",
        "--config.train.epochs=1",
        "--config.network.widths=(4,)",
        "--executor=inline",
        "--seeds=2",
        f"--out={out}",
    )
    result = programs.run("oracle", *arguments)
    assert result.status == 0, result.err
    lines = out.read_text().splitlines()
    # Of 8 blocks of one layer, three pass their input on.
    columns = "accuracy_0,accuracy_1,cpu_seconds_0,cpu_seconds_1"
    assert lines[0] == f"block,params,flops,{columns}" and len(lines) == 7
    changed = lines[1].rsplit(",", 4)[0] + ",0.5,0.5,1.000,1.000"
    # Cut off where a kill cut off the last line.
    out.write_text("\n".join([lines[0], changed, *lines[3:]])[:-9])
    result = programs.answer("oracle", *arguments, "--most=5")
    assert result.status == 0, result.err
    assert "6 blocks, by number of layers: 6 of 1" in result.out
    assert f"{out}: 5 of 6 blocks, 2 seeds each" in result.out.replace("\n", "")
    result = programs.answer("oracle", *arguments)
    assert result.status == 0, result.err
    # What was there is kept, what was missing is trained as before.
    assert _trained(out.read_text().splitlines()) == _trained(
        [lines[0], changed, *lines[2:]]
    )


def _trained(lines: list[str]) -> list[str]:
    """Leave out the last two columns, the seconds."""
    return [line.rsplit(",", 2)[0] for line in lines]
