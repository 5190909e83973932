"""Figures of one search: what is drawn is what the journal holds."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bqnn.report import figures, record
from bqnn.report.record import Record
from bqnn.search import journal
from tests.helpers.hand_journal import by_hand


@pytest.fixture
def made(tmp_path: Path) -> Record:
    """Two batches: rewards 0.2 and 0.1 (a failure), then 0.2 and 0.6."""
    by_hand(tmp_path)
    found = record.read(str(tmp_path))
    assert found
    return found


def test_curves_by_hand(made: Record) -> None:
    axes = figures.curves(Figure().add_subplot(), made.points())
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    want = {
        "accuracy, mean": [(0, 0.2), (1, 0.4)],
        "reward, mean": [(0, 0.15), (1, 0.4)],
        "best reward so far": [(0, 0.2), (1, 0.6)],
    }
    assert lines.keys() == want.keys()
    for name, points in want.items():
        np.testing.assert_allclose(lines[name], points)
    assert len(axes.collections) == 2  # bands
    more, less = (patch.get_alpha() or 0.0 for patch in axes.patches)
    assert more > less  # epsilon falls


@pytest.mark.parametrize("cost", ["flops", "params"])
def test_costs_by_hand(made: Record, cost: str) -> None:
    axes = figures.costs(Figure().add_subplot(), made.rows(), cost)
    (size,) = {getattr(row, cost) for row in made.rows()}  # max pooling is free
    marks = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(marks, [(size, 0.2), (size, 0.2), (size, 0.6)])
    (front,) = axes.lines
    np.testing.assert_allclose(np.asarray(front.get_xydata()), [(size, 0.6)])


def test_another_cost_is_refused(made: Record) -> None:
    with pytest.raises(KeyError, match="seconds"):
        figures.costs(Figure().add_subplot(), made.rows(), "seconds")


def test_nothing_yet_is_drawn_as_nothing(tmp_path: Path) -> None:
    with journal.create_or_open(tmp_path):
        assert record.read(tmp_path) is None
    assert not figures.curves(Figure().add_subplot(), []).patches
    figures.costs(Figure().add_subplot(), [])
