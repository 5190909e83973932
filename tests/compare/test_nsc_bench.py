"""NSC-Bench, the table of trained blocks that ships beside the code."""

import functools
from pathlib import Path

import numpy as np
import pytest

from bqnn.compare.csv_benchmarks import Rows, read_oracle, read_rows
from bqnn.compare.oracle import canonical_blocks
from bqnn.config import Config, dictionary
from bqnn.networks.cost import block_cost
from bqnn.space.nsc import canonical_hash, parse
from launch.configs import rivals
from tests.helpers.paths import ASSETS, ROOT
from tests.helpers.searches import SPEC

BENCH = ROOT / "nsc_bench" / "nsc_bench.csv.xz"
SEEDS = range(3)
VALIDATION = 288  # images
SMALL = 894  # blocks of up to three layers


@functools.cache
def _rows(path: Path) -> Rows:
    """Map canonical hashes to rows."""
    rows = read_rows(path, "block")
    by_hash = {canonical_hash(parse(text)): row for text, row in rows.items()}
    assert len(by_hash) == len(rows)
    return by_hash


def _config(layers: int) -> Config:
    values = rivals.get_config().to_dict()
    values["space"]["max_layers"] = layers
    return dictionary.from_dict(values, Config)


def _values(rows: Rows, *names: str) -> np.ndarray:
    """Return the columns `NAME_SEED`, float64 `[E, len(names) * R]`."""
    columns = [f"{name}_{seed}" for name in names for seed in SEEDS]
    return np.array([[float(r[c]) for c in columns] for r in rows.values()])


def test_it_has_the_small_blocks_and_then_a_sample_of_those_of_four_layers() -> None:
    rows, config = _rows(BENCH), _config(3)
    blocks = [parse(row["block"]) for row in rows.values()]
    assert blocks[:SMALL] == canonical_blocks(config, SPEC)
    assert {len(block) for block in blocks[SMALL:]} == {4}
    assert [*rows][SMALL:] == sorted([*rows][SMALL:])
    for block, row in zip(blocks, rows.values(), strict=True):
        cost = block_cost(block, config.network, SPEC)
        assert (row["params"], row["flops"]) == (
            str(cost.params),
            str(cost.network_flops),
        )


def test_every_value_can_be() -> None:
    rows = _rows(BENCH)
    correct = _values(rows, "accuracy", "epoch_1_accuracy") * VALIDATION
    assert (np.abs(correct - correct.round()) < 1e-3).all()
    assert (correct >= 0).all() and (correct <= VALIDATION).all()
    seconds = _values(rows, "cpu_seconds")
    assert (seconds > 0.01).all() and (seconds < 60).all()


def test_it_agrees_with_the_oracle_of_another_machine() -> None:
    rows, oracle = _rows(BENCH), _rows(ASSETS / "oracle.csv")
    assert oracle.keys() == {*[*rows][:SMALL]}
    ours, theirs = (
        _values({sha: table[sha] for sha in oracle}, "accuracy")
        for table in (rows, oracle)
    )
    # The machines round differently; two thirds of the trainings end the same.
    assert (ours == theirs).mean() > 0.6
    assert np.abs(ours - theirs).mean() < 0.005
    assert np.corrcoef(ours.mean(axis=1), theirs.mean(axis=1))[0, 1] > 0.999


def test_agents_are_compared_on_its_complete_part() -> None:
    benchmark = read_oracle(BENCH, _config(3), SPEC)
    best = max(benchmark.true_values[np.isfinite(benchmark.rewards)])
    small = [*_rows(BENCH).values()][:SMALL]
    means = [np.mean([float(row[f"accuracy_{s}"]) for s in SEEDS]) for row in small]
    assert best == np.float32(max(means))


def test_the_readme_reads_it_in_five_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "nsc_bench" / "README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line]) == 5
    exec(code, {})
    accuracies = _values(_rows(BENCH), "accuracy").sum(axis=1)
    best = [*_rows(BENCH).values()][accuracies.argmax()]
    assert capsys.readouterr().out.startswith(best["block"] + " ")
