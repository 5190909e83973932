"""What one device does, in miniature on a CPU, and where trainings first differ."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    accelerator,
    accelerator_searches,
    accelerator_table,
    determinism,
    fingerprints,
    setting,
    throughput,
)
from benchmarks.accelerator_searches import Search, SearchRow
from benchmarks.determinism import DeterminismRow
from bqnn.config import NetworkConfig
from bqnn.data import load
from bqnn.engines import unit_programs
from bqnn.engines.program_store import load_or_compile

pytestmark = pytest.mark.quick_compilation

BLOCK = "1,1,3,0,0"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The quickstart's setting with one narrow stage and three steps."""
    quick = setting.SETTINGS["quickstart"]
    tiny = quick._replace(
        network=NetworkConfig("small", (4,), 1),
        train=dataclasses.replace(quick.train, batch=16),
        train_images=48,
        validation_images=16,
    )
    monkeypatch.setitem(setting.SETTINGS, "tiny", tiny)
    return "tiny"


@pytest.mark.parametrize("engine", ["walk", "step"])
def test_a_candidate_is_timed_step_by_step(
    tiny: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(lower: Any, *key: Any) -> Any:
        asked.append(repr(key))
        return load_or_compile(lower, *key)

    monkeypatch.setattr(unit_programs, "load_or_compile", counted)
    job = accelerator.Job(tiny, engine, "as searches run", BLOCK)
    row = accelerator.run(job)
    assert row[:4] == job
    assert row.prepared > 0 and row.again > 0
    # Prepared again, a candidate asks for no program twice.
    assert len(asked) == len({*asked})
    assert row.images_per_second == pytest.approx(16 / row.step)
    assert 0 < row.used < 1
    assert row.idle is None  # the profiler of a CPU does not tell
    cells = [list(c.cells)[0] for c in accelerator_table.engine_table([row]).columns]
    assert cells[-1] == "-"


def test_idle_is_what_no_operation_covers() -> None:
    # Busy from 0 to 4 and from 6 to 10.
    spans = [(6.0, 9.0), (0.0, 4.0), (1.0, 2.0), (8.0, 10.0)]
    assert accelerator.idle_between(spans) == pytest.approx(0.2)
    assert accelerator.idle_between([(3.0, 3.0)]) == 0.0


def test_a_training_that_is_repeated_has_the_same_fingerprints(tiny: str) -> None:
    job = fingerprints.Job(tiny, "walk", (BLOCK, BLOCK), 2, "")
    (one, other), seconds = fingerprints.train(job)
    assert one == other
    assert seconds > 0
    assert [len(step) for step in (one, other)] == [2, 2]
    # The second step starts where the first has ended, and batch 1 is another one.
    assert all(one[0][node] != one[1][node] for node in one[0] if one[0][node])
    whole = fingerprints.train(job._replace(engine="step", blocks=(BLOCK,)))
    assert len(whole.fingerprints[0][1]) > 2


def test_the_first_difference_is_named() -> None:
    one = [[{"a": ["1", "2"], "b": []}, {"a": ["3", "4"], "b": ["5"]}]]
    other = [[{"a": ["1", "2"], "b": []}, {"a": ["3", "0"], "b": ["0"]}]]
    assert determinism.first_difference(one, one) == ""
    found = determinism.first_difference(one, other)
    assert found == "block 0, step 1, a, array 1"
    rows = [DeterminismRow("as searches run", "walk", {"again": "", "cold": found}, 1)]
    table = accelerator_table.determinism_table(rows)
    cells = [list(column.cells)[0] for column in table.columns]
    assert cells == ["as searches run", "walk", "equal", found, "1.00"]


def test_searches_are_the_quickstarts_and_the_papers(tmp_path: Path) -> None:
    images = tmp_path / "images.npz"
    accelerator_searches._write_images(images)
    quick, paper = (
        accelerator_searches.config(Search(layers, "walk", 1, False), images)
        for layers in (6, 23)
    )
    assert quick.space == throughput.CONFIG.space
    assert paper.space.max_layers == 23
    assert paper.network.widths == (32, 64, 128)
    assert load(paper.data).spec == setting.SETTINGS["paper"].images
    row = SearchRow(Search(23, "walk", 1, True), 3600.0, 2.0)
    table = accelerator_table.search_table([row])
    cells = [list(column.cells)[0] for column in table.columns]
    assert cells == ["23", "walk", "1", "none", "3,600", "2.0"]
