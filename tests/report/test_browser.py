"""The report's page in a real browser: marks, clicks, table, no complaint."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.report.layout import columns, layout
from bqnn.report.page.page import write_page
from bqnn.report.page.payload import Source
from bqnn.search import journal
from bqnn.search.history import Run
from tests.helpers.blocks import random_blocks
from tests.helpers.browser import browser, complaints, load, requests
from tests.helpers.searches import SPEC, TableExecutor, run_search, tiny_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

FAULTS = {3: Status.FAILED, 7: Status.WORKER_LOST}
WIDTHS = (1400, 400)


class TimedExecutor(TableExecutor):
    """Says who took how long."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        ((candidate, evaluation),) = super().collect()
        worker = f"worker {len(self.attempts) % 2}"
        seconds = {"prepare": 0.5, "train": 1.5}
        return [
            (candidate, dataclasses.replace(evaluation, seconds=seconds, worker=worker))
        ]


@pytest.fixture(scope="module")
def chrome(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    with browser(tmp_path_factory.getbasetemp() / "downloads") as started:
        yield started


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of 24 candidates, one of which failed and one was tried again."""
    workdir = tmp_path_factory.mktemp("searched")
    run_search(workdir, tiny_config(), TimedExecutor(faults=FAULTS))
    return workdir


def _count(chrome: webdriver.Chrome, selector: str) -> int:
    return len(chrome.find_elements(By.CSS_SELECTOR, selector))


def _check_quiet(chrome: webdriver.Chrome) -> None:
    assert complaints(chrome) == []
    assert requests(chrome) <= {"file", "data", "blob"}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_has_its_marks(
    chrome: webdriver.Chrome, searched: Path, width: int
) -> None:
    read = Source(searched).read()
    load(chrome, write_page([Source(searched)])[0], width)
    known = sum(accuracy is not None for accuracy in read["rows"]["accuracy"])
    assert known == 23
    for cost in ("flops", "params"):
        want = known + len(read["fronts"][cost])
        assert _count(chrome, f"#by-{cost} .scatterlayer .point") == want
    # Lines of means, best so far; two bands.
    assert _count(chrome, "#curves .scatterlayer .js-line") == 5
    assert _count(chrome, "#curves .layer-below path") == 3  # values of epsilon
    assert _count(chrome, "#lengths .scatterlayer .js-line") == 2
    assert _count(chrome, "#lengths .scatterlayer .point") == 12
    assert _count(chrome, "#reused .scatterlayer .point") == 6
    assert _count(chrome, ".heatmaplayer image") == 2
    assert _count(chrome, "#phases .barlayer .point") == 2
    spans = len(read["spans"]["end"])
    assert spans > 10
    assert _count(chrome, "#timeline .scatterlayer .js-line") == spans
    assert _count(chrome, "#timeline .scatterlayer .trace") == 3  # by status
    assert (
        _count(chrome, "#best svg.block rect")
        == read["rows"]["layers"][read["best"][0]] + 2
    )
    assert _count(chrome, ".plot[role=img][aria-label]") == _count(chrome, ".plot")
    wide = "return document.documentElement.scrollWidth"
    assert chrome.execute_script(wide) <= width
    _check_quiet(chrome)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_click_on_a_point_draws_its_block(
    chrome: webdriver.Chrome, searched: Path, width: int
) -> None:
    rows = Source(searched).read()["rows"]
    load(chrome, write_page([Source(searched)])[0], width)
    measured = [i for i, value in enumerate(rows["accuracy"]) if value is not None]
    points = chrome.find_elements(
        By.CSS_SELECTOR, "#by-flops .scatterlayer .trace:first-child .point"
    )
    for index, point in list(zip(measured, points, strict=True))[::6]:
        # Chromium scrolls a point itself to somewhere else.
        script = "arguments[0].closest('figure').scrollIntoView({block: 'center'})"
        chrome.execute_script(script, point)
        ActionChains(chrome).move_to_element(point).pause(0.2).click().perform()
        panel = WebDriverWait(chrome, 10).until(
            lambda c: c.find_element(By.CSS_SELECTOR, "#panel:not([hidden]) svg.block")
        )
        where = rows["flops"][index], rows["accuracy"][index]
        # Another block may lie at the same point.
        same = [
            rows["block"][i]
            for i in measured
            if (rows["flops"][i], rows["accuracy"][i]) == where
        ]
        assert panel.get_attribute("data-block") in same
        chrome.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
        assert _count(chrome, "#panel[hidden]") == 1
    _check_quiet(chrome)


def _column(chrome: webdriver.Chrome, number: int) -> list[str]:
    cells = f"#evaluations tbody td:nth-child({number})"
    return [cell.text for cell in chrome.find_elements(By.CSS_SELECTOR, cells)]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_sorts_filters_and_is_used_by_keyboard(
    chrome: webdriver.Chrome, searched: Path, width: int
) -> None:
    load(chrome, write_page([Source(searched)])[0], width)
    header = chrome.find_element(By.CSS_SELECTOR, "#evaluations th:nth-child(4)")
    button = header.find_element(By.TAG_NAME, "button")
    for direction, sign in (("descending", -1), ("ascending", 1)):
        button.send_keys(Keys.ENTER)
        assert header.get_attribute("aria-sort") == direction
        texts = _column(chrome, 4)
        values = [float(text.removesuffix(" %")) for text in texts[:-1]]
        assert values == sorted(values, key=lambda value: sign * value)
        assert texts[-1] == "–"  # what has no accuracy is last either way
    query = chrome.find_element(By.ID, "query")
    query.send_keys("failed")
    assert set(_column(chrome, 3)) == {"failed"}
    assert chrome.find_element(By.ID, "count").text == "1 of 24 evaluations"
    query.send_keys(" nothing")
    assert _column(chrome, 3) == []
    query.clear()
    query.send_keys("2/1")
    link = chrome.find_element(By.CSS_SELECTOR, "#evaluations td button")
    link.send_keys(Keys.ENTER)
    drawn = chrome.find_element(By.CSS_SELECTOR, "#panel svg.block")
    assert drawn.get_attribute("data-block") == link.text
    _check_quiet(chrome)


def test_the_csv_is_the_table(
    chrome: webdriver.Chrome,
    searched: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    load(chrome, write_page([Source(searched)])[0], 1400)
    chrome.find_element(By.ID, "query").send_keys("failed")
    chrome.find_element(By.ID, "csv").click()
    loaded = tmp_path_factory.getbasetemp() / "downloads" / "evaluations.csv"
    WebDriverWait(chrome, 20).until(lambda c: loaded.exists())
    with loaded.open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["failed"]
    rows = Source(searched).read()["rows"]
    script = "return toCsv(arguments[0], arguments[1])"
    text = chrome.execute_script(script, rows, list(range(24)))
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["block"] for row in read] == rows["block"]
    assert [row["error"] for row in read] == rows["error"]
    assert [row["accuracy"] or None for row in read] == [
        None if value is None else str(value) for value in rows["accuracy"]
    ]
    awkward = {"error": ['a "b", c\nd', None, "=1+1", -0.5]}
    text = chrome.execute_script(script, awkward, [0, 1, 2, 3])
    cells = [*csv.reader(io.StringIO(text, newline=""))][1:]
    # A text that a spreadsheet would take for a formula is none any more.
    assert cells == [['a "b", c\nd'], [], ["'=1+1"], ["-0.5"]]


def test_blocks_are_drawn_as_in_files(chrome: webdriver.Chrome, searched: Path) -> None:
    load(chrome, write_page([Source(searched)])[0], 1400)
    for block in random_blocks(20, 23):
        script = "return unpackLayout(parseBlock(arguments[0]), arguments[1])"
        made = centres, edges = layout(block)
        got: Any = chrome.execute_script(script, str(block), columns(made))
        np.testing.assert_allclose(got["centres"], centres, atol=1e-6)
        for mine, theirs in zip(got["edges"], edges, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)


# Sides of the boxes of a block's drawing, and of the lines of text in each.
BOXES_AND_LABELS = """
  page.columns.set(arguments[0], arguments[1]);
  const drawing = drawBlock(arguments[0]);
  document.body.append(drawing);
  const sides = ({x, y, width, height}) => [x, y, x + width, y + height];
  const found = [];
  for (const part of drawing.children) {
    if (part.tagName === "rect") found.push([sides(part.getBBox()), []]);
    if (part.tagName === "text") found.at(-1)[1].push(sides(part.getBBox()));
  }
  drawing.remove();
  return found;
"""


def test_labels_on_the_page_are_within_their_boxes(
    chrome: webdriver.Chrome, searched: Path
) -> None:
    load(chrome, write_page([Source(searched)])[0], 1400)
    for block in random_blocks(20, 23):
        found = chrome.execute_script(
            BOXES_AND_LABELS, str(block), columns(layout(block))
        )
        assert len(found) == len(block) + 2
        for box, labels in found:
            assert labels
            for left, top, right, bottom in labels:
                assert box[0] < left and right < box[2]
                assert box[1] < top and bottom < box[3]


@pytest.mark.parametrize("width", WIDTHS)
def test_searches_are_laid_over_each_other(
    chrome: webdriver.Chrome, searched: Path, tmp_path: Path, width: int
) -> None:
    rival = tmp_path / "rival"
    config = tiny_config(
        agent={"name": "random", "schedule": "1.0:3"}, search={"batch": 8}
    )
    run_search(rival, config, TimedExecutor())
    load(chrome, write_page([Source(searched), Source(rival)])[0], width)
    for name in ("overlay-best", "overlay-mean"):
        assert _count(chrome, f"#{name} .scatterlayer .js-line") == 2
        script = "return document.getElementById(arguments[0]).data.map((d) => d.x)"
        counts: Any = chrome.execute_script(script, name)
        assert counts == [[4, 8, 12, 16, 20, 24], [8, 16, 24]]
    assert _count(chrome, "#overlay-flops .scatterlayer .point") == 23 + 24
    assert _count(chrome, "#overlay-params .scatterlayer .point") == 23 + 24
    assert _count(chrome, "#overlay tbody tr") == 2
    assert _count(chrome, ".heatmaplayer image") == 2
    Select(chrome.find_element(By.ID, "search")).select_by_index(1)
    WebDriverWait(chrome, 30).until(lambda c: _count(c, "#facts .command"))
    assert "random has no Q-values" in chrome.find_element(By.ID, "agent").text
    assert _count(chrome, ".heatmaplayer image") == 0
    _check_quiet(chrome)


def test_odd_journals_are_shown_without_complaint(
    chrome: webdriver.Chrome, tmp_path: Path
) -> None:
    empty, begun, failed = (tmp_path / name for name in ("empty", "begun", "failed"))
    with journal.create_or_open(empty):
        pass
    with journal.create_or_open(begun) as facts:
        facts.start(Run(tiny_config(), SPEC, "f", {}))
    config = tiny_config(agent={"schedule": "1.0:1"})
    run_search(
        failed, config, TableExecutor(faults=dict.fromkeys(range(9), Status.FAILED))
    )
    said = {
        empty: "the search has not begun",
        begun: "Nothing is evaluated yet",
        failed: "No evaluation gave an accuracy yet",
    }
    for workdir, text in said.items():
        load(chrome, write_page([Source(workdir)], refresh=60)[0], 400)
        assert text in chrome.find_element(By.TAG_NAME, "body").text
        _check_quiet(chrome)
    assert "failed on purpose" in chrome.find_element(By.ID, "time").text


def test_a_page_being_watched_loads_itself_again(
    chrome: webdriver.Chrome, tmp_path: Path
) -> None:
    with journal.create_or_open(tmp_path) as facts:
        facts.start(Run(tiny_config(), SPEC, "f", {}))
    load(chrome, write_page([Source(tmp_path)], refresh=1)[0], 1400)
    chrome.execute_script("window.old = true")
    WebDriverWait(chrome, 20).until(
        lambda c: c.execute_script(
            "return !window.old && !!document.body.dataset.ready"
        )
    )
    _check_quiet(chrome)
