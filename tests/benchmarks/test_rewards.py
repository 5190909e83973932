"""Rewards on tables: what is learnt from few blocks, and the program."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rewards
from benchmarks.rewards import Blocks, RewardRow
from tests.helpers.programs import answers


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int, str], RewardRow]:
    """Blocks that early accuracy tells the less of, the larger they are."""
    rng = np.random.default_rng(0)
    size, noise = rng.normal(15, 1, (2, 300))
    final = 0.5 + 0.02 * size + 0.001 * noise
    terms = {
        "accuracy": final - 0.025 * size + 0.002 * rng.normal(size=300),
        "log_params": size,
        "log_flops": size,
        "log_density": rng.normal(size=300),
    }
    found = rewards.measure("hard", Blocks(terms, final), draws=3)
    return {(row.reward, row.trained, row.over): row for row in found}


def test_a_learned_reward_ranks_what_the_others_do_not(
    rows: dict[tuple[str, int, str], RewardRow],
) -> None:
    for over in ("all", "better half"):
        assert rows["accuracy", 0, over].spearman < 0
        assert rows["paper", 0, over].spearman < 0
        assert rows["learned", 16, over].spearman > 0.8
    learned = {count for name, count, _ in rows if name == "learned"}
    assert learned == {*rewards.COUNTS}
    for row in rows.values():
        assert row.low <= row.spearman <= row.high


def test_the_program_ranks_nsc_bench(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    (answer,) = answers("bench", [("--parts=rewards", "--draws=2", f"--json={file}")])
    assert answer.status == 0, answer.err
    found = json.loads(file.read_text())["rewards"]
    by_reward = {
        row["reward"]: row["spearman"]
        for row in found
        if row["over"] == "all" and row["trained"] in (0, 16)
    }
    assert by_reward["learned"] > by_reward["accuracy"] > by_reward["paper"] > 0.7
