"""Calibration as a user runs it: blocks trained in full, or taken from elsewhere."""

import json
from pathlib import Path

import pytest

from bqnn.search.calibration import read_fit
from tests.helpers.programs import Answer, answer, answers

TRAINING = (
    "--config=digits_final",
    "--config.network.widths=(4,)",
    "--config.train.epochs=1",
    "--config.train.warmup=0",
    "--config.data.validation=0.2",
    "--config.train.threads=1",
    "--executor=inline",
)


def _check(found: Answer, workdir: Path, blocks: int) -> None:
    assert (found.status, found.err) == (0, "")
    for part in ("learned reward", "log_density", f"accuracy of {blocks} blocks"):
        assert part in found.out
    weights = workdir / "calibration.json"
    assert "rescore --workdir=" in found.out and f"--weights={weights}" in found.out
    assert read_fit(weights).blocks == blocks
    assert (workdir / "figure6.png").read_bytes().startswith(b"\x89PNG")


def test_blocks_are_trained_and_their_weights_rank_the_search(
    searched: Path, tmp_path: Path
) -> None:
    search, where = f"--search={searched}", f"--workdir={tmp_path}"
    commands = [(search, where, *TRAINING, f"--blocks={n}") for n in (4, 5)]
    first, other = answers("calibrate", commands)
    _check(first, tmp_path, 4)
    assert other.status == 1 and "was begun with --blocks=4" in other.err
    weights = tmp_path / "calibration.json"
    ranked = answer("rescore", f"--workdir={searched}", f"--weights={weights}")
    assert "ranked with accuracy" in ranked.out
    # The same blocks, as launch.train --top keeps them.
    blocks = [
        {"rank": rank, "block": row["block"], "accuracy": row["final"]}
        for rank, row in enumerate(json.loads(weights.read_text())["trained"], 1)
    ]
    (tmp_path / "selection.json").write_text(json.dumps({"blocks": blocks}))
    new = tmp_path / "new"
    taken = answer("calibrate", search, f"--workdir={new}", f"--trained={tmp_path}")
    _check(taken, new, 4)
    assert read_fit(new / "calibration.json").weights == pytest.approx(
        read_fit(weights).weights
    )


def test_blocks_that_were_trained_elsewhere_are_taken(
    searched: Path, tmp_path: Path
) -> None:
    where = f"--search={searched}", f"--workdir={tmp_path / 'new'}"
    none, neither = answers("calibrate", [(*where, f"--trained={tmp_path}"), where])
    assert none.status == 1 and "selection.json is not there" in none.err
    assert neither.status == 2
    assert "want --config=NAME to train by, or --trained=DIR" in neither.err
