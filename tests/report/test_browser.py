"""The report's page in a real browser: marks, clicks, drawings, no complaint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from bqnn.config.network import WIRINGS
from bqnn.evaluation.records import Status
from bqnn.report.layout import columns, layout
from bqnn.report.page.page import write_page
from bqnn.report.page.payload import Source
from bqnn.search import journal
from bqnn.search.history import Run
from bqnn.space.nsc import Block
from tests.helpers.blocks import random_blocks
from tests.helpers.browser import check_quiet, count, load
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    TimedExecutor,
    run_search,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation
WIDTHS = (1400, 400)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_has_its_marks(
    chrome: webdriver.Chrome, timed_search: Path, width: int
) -> None:
    read = Source(timed_search).read()
    load(chrome, write_page([Source(timed_search)])[0], width)
    known = sum(accuracy is not None for accuracy in read["rows"]["accuracy"])
    assert known == 23
    for cost in ("flops", "params"):
        want = known + len(read["fronts"][cost])
        assert count(chrome, f"#by-{cost} .scatterlayer .point") == want
    # Lines of means, best so far; two bands.
    assert count(chrome, "#curves .scatterlayer .js-line") == 5
    assert count(chrome, "#curves .layer-below path") == 3  # values of epsilon
    assert count(chrome, "#lengths .scatterlayer .js-line") == 2
    assert count(chrome, "#lengths .scatterlayer .point") == 12
    assert count(chrome, "#reused .scatterlayer .point") == 6
    assert count(chrome, ".heatmaplayer image") == 2
    assert count(chrome, "#phases .barlayer .point") == 2
    spans = len(read["spans"]["end"])
    assert spans > 10
    assert count(chrome, "#timeline .scatterlayer .js-line") == spans
    assert count(chrome, "#timeline .scatterlayer .trace") == 3  # by status
    assert (
        count(chrome, "#best svg.block rect")
        == read["rows"]["layers"][read["best"][0]] + 2
    )
    assert count(chrome, ".plot[role=img][aria-label]") == count(chrome, ".plot")
    wide = "return document.documentElement.scrollWidth"
    assert chrome.execute_script(wide) <= width
    check_quiet(chrome)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_click_on_a_point_draws_its_block(
    chrome: webdriver.Chrome, timed_search: Path, width: int
) -> None:
    rows = Source(timed_search).read()["rows"]
    load(chrome, write_page([Source(timed_search)])[0], width)
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
        assert count(chrome, "#panel[hidden]") == 1
    check_quiet(chrome)


def test_blocks_are_drawn_as_in_files(
    chrome: webdriver.Chrome, timed_search: Path
) -> None:
    load(chrome, write_page([Source(timed_search)])[0], 1400)
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
    chrome: webdriver.Chrome, timed_search: Path
) -> None:
    load(chrome, write_page([Source(timed_search)])[0], 1400)
    for number, plain in enumerate(random_blocks(20, 23)):
        block = Block(plain.layers, wiring=number % 3)
        found = chrome.execute_script(
            BOXES_AND_LABELS, str(block), columns(layout(block))
        )
        drawn = "return drawBlock(arguments[0]).textContent"
        text = chrome.execute_script(drawn, str(block))
        ends = [name for name in WIRINGS[1:] if text.endswith(name)]
        assert ends == ([WIRINGS[block.wiring]] if block.wiring else [])
        assert len(found) == len(block) + 2
        for box, labels in found:
            assert labels
            for left, top, right, bottom in labels:
                assert box[0] < left and right < box[2]
                assert box[1] < top and bottom < box[3]


@pytest.mark.parametrize("width", WIDTHS)
def test_searches_are_laid_over_each_other(
    chrome: webdriver.Chrome, timed_search: Path, tmp_path: Path, width: int
) -> None:
    rival = tmp_path / "rival"
    config = tiny_config(
        agent={"name": "random", "schedule": "1.0:3"}, search={"batch": 8}
    )
    run_search(rival, config, TimedExecutor())
    load(chrome, write_page([Source(timed_search), Source(rival)])[0], width)
    for name in ("overlay-best", "overlay-mean"):
        assert count(chrome, f"#{name} .scatterlayer .js-line") == 2
        script = "return document.getElementById(arguments[0]).data.map((d) => d.x)"
        counts: Any = chrome.execute_script(script, name)
        assert counts == [[4, 8, 12, 16, 20, 24], [8, 16, 24]]
    assert count(chrome, "#overlay-flops .scatterlayer .point") == 23 + 24
    assert count(chrome, "#overlay-params .scatterlayer .point") == 23 + 24
    assert count(chrome, "#overlay tbody tr") == 2
    assert count(chrome, ".heatmaplayer image") == 2
    Select(chrome.find_element(By.ID, "search")).select_by_index(1)
    WebDriverWait(chrome, 30).until(lambda c: count(c, "#facts .command"))
    assert "random has no Q-values" in chrome.find_element(By.ID, "agent").text
    assert count(chrome, ".heatmaplayer image") == 0
    check_quiet(chrome)


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
    goal = {"name": "random", "goal": "front", "schedule": "1.0:2"}
    for name, second in (("front", "none"), ("fronts", "params")):
        agent = {**goal, "second_cost": second}
        front = tiny_config(agent=agent, reward={"kind": "accuracy"})
        search_table(tmp_path / name, front)
    said = {
        tmp_path / "front": "The front: which block to take within a limit on FLOPs of",
        tmp_path / "fronts": "of the network and one on parameters of the network: the",
        empty: "the search has not begun",
        begun: "Nothing is evaluated yet",
        failed: "No evaluation gave an accuracy yet",
    }
    for workdir, text in said.items():
        load(chrome, write_page([Source(workdir)], refresh=60)[0], 400)
        assert text in chrome.find_element(By.TAG_NAME, "body").text
        check_quiet(chrome)
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
    check_quiet(chrome)
