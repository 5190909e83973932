"""Calibration of a search: the blocks chosen, the measures, and what was kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from bqnn.config import RewardConfig
from bqnn.errors import BqnnError, SearchError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.final import calibrate, selection
from bqnn.final.calibrate import Searched
from bqnn.final.selection import Trained
from bqnn.final.workdir import WorkdirError
from bqnn.report.calibrated import calibration_tables, save_figure
from bqnn.search.calibration import FITTED, TERMS
from bqnn.search.reward import make_reward
from bqnn.search.settled import ranking
from tests.helpers.fuzzing import printed


@pytest.fixture
def search(searched: Path) -> Searched:
    """A search of blocks with accuracies that say nothing."""
    return calibrate.read_search(searched)


def _trained(search: Searched) -> list[Trained]:
    """Blocks of different sizes that end the better, the larger they are."""
    by_size = {
        event.candidate.network_params: event for event in ranking(search.events)
    }
    return [
        Trained(
            rank, event, Evaluation(Status.OK, (0.1, 0.7 + 0.2 * size / max(by_size)))
        )
        for rank, (size, event) in enumerate(by_size.items(), 1)
    ]


def test_the_choice_is_kept_while_the_search_goes_on(
    search: Searched, tmp_path: Path
) -> None:
    early = search._replace(events=search.events[:12])
    chosen = calibrate.choose(early, 4, tmp_path)
    sizes = [event.candidate.network_params for event in chosen]
    assert (
        sizes == sorted(sizes) and len({event.candidate.hash for event in chosen}) == 4
    )
    assert calibrate.choose(search, 4, tmp_path) == chosen
    assert calibrate.choose(search, 4, tmp_path / "other") != chosen
    with pytest.raises(WorkdirError, match="was begun with --blocks=4: want the same"):
        calibrate.choose(search, 5, tmp_path)
    elsewhere = search._replace(events=())
    with pytest.raises(WorkdirError, match="has no early accuracy of 1,"):
        calibrate.choose(elsewhere, 4, tmp_path)
    with pytest.raises(SearchError, match="99 blocks were asked for, but only"):
        calibrate.choose(search, 99, tmp_path / "many")


def test_measures_are_of_the_same_blocks_worst_first(search: Searched) -> None:
    trained = _trained(search)
    failed = Trained(9, trained[0].found, Evaluation(Status.DIVERGED, error="why"))
    found = calibrate.calibrate(search.problem, [*trained, failed])
    assert len(found.trained) == len(trained) == found.fit.blocks
    assert found.final.tolist() == sorted(t.accuracy or 0 for t in trained)
    first = found.trained[0].found
    assert found.measures["accuracy"][0] == first.evaluation.accuracy[-1]
    images, network = search.problem.images, search.problem.config.network
    paper = make_reward(RewardConfig(), network, images)
    want = paper(first.candidate, first.evaluation)
    assert found.measures["paper"][0] == want
    # Only size tells, and the fit finds it.
    assert found.correlations["learned"].spearman > 0.8
    assert found.correlations["learned"].spearman > found.correlations["paper"].spearman
    rows = {row.name: row for row in found.terms}
    assert {*rows} == {*TERMS}
    assert {name for name, row in rows.items() if row.fitted} == {*FITTED}
    size = rows["log_params"]
    assert size.low < size.effect < size.high and size.effect > 0
    assert size.error < size.error_without


def test_the_tables_and_the_figure_show_the_measures(
    search: Searched, tmp_path: Path
) -> None:
    found = calibrate.calibrate(search.problem, _trained(search))
    text = printed(calibration_tables(found))
    for part in ("learned reward", "the paper's reward", "log_density", "Spearman"):
        assert part in text
    save_figure(found, tmp_path / "figure6.png")
    assert (tmp_path / "figure6.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BqnnError, match="No such file"):
        save_figure(found, tmp_path / "none" / "figure6.png")


def test_too_few_or_equal_blocks_teach_nothing(search: Searched) -> None:
    trained = _trained(search)
    with pytest.raises(SearchError, match="3 blocks were trained in full: want 4 or"):
        calibrate.calibrate(search.problem, trained[:3])
    same = Evaluation(Status.OK, (1.0,))
    equal = [entry._replace(evaluation=same) for entry in trained]
    with pytest.raises(SearchError, match="all have the same accuracy, 100.00%"):
        calibrate.calibrate(search.problem, equal)


def test_what_launch_train_has_trained_is_read(
    search: Searched, tmp_path: Path
) -> None:
    trained, file = _trained(search), tmp_path / "selection.json"
    failed = Trained(9, trained[0].found, Evaluation(Status.DIVERGED, error="why"))
    file.write_text(json.dumps(selection.to_json([*trained, failed])))
    read = calibrate.read_trained(search, file)
    want = [(t.rank, t.found, t.accuracy) for t in selection.by_accuracy(trained)]
    assert [(t.rank, t.found, t.accuracy) for t in read] == want
    other = search._replace(events=())
    with pytest.raises(WorkdirError, match="has no early accuracy of 1,"):
        calibrate.read_trained(other, file)
    with pytest.raises(WorkdirError, match="is not there"):
        calibrate.read_trained(search, tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        (
            '{"blocks": [{"rank": 1, "block": "1,1,3,0,0", "accuracy": 2}]}',
            "is 2: want",
        ),
        ('{"blocks": [{"rank": 0, "block": "1,1,3,0,0", "accuracy": 1}]}', "rank is 0"),
        ('{"blocks": [{"rank": 1, "block": "9", "accuracy": 1}]}', "block"),
        ('{"blocks": 5}', "blocks is 5"),
    ],
)
def test_a_damaged_selection_is_named(
    text: str, message: str, search: Searched, tmp_path: Path
) -> None:
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(WorkdirError) as caught:
        calibrate.read_trained(search, tmp_path / "selection.json")
    assert "damaged" in str(caught.value) and message in str(caught.value)


def test_everything_found_is_json(search: Searched) -> None:
    found = calibrate.calibrate(search.problem, _trained(search))
    values = json.loads(json.dumps(calibrate.to_json(found)))
    assert values["blocks"] == len(values["trained"]) == len(found.final)
    assert {*values["correlations"]} == {"accuracy", "paper", "learned"}
    assert [row["name"] for row in values["help"]] == [*TERMS]
    assert np.isfinite([row["learned"] for row in values["trained"]]).all()
