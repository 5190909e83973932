"""The table of the report's page in a real browser: sort, filter, csv."""

import csv
import io
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from bqnn.report.page.page import write_page
from bqnn.report.page.payload import Source
from tests.helpers.browser import check_quiet, load

pytestmark = pytest.mark.quick_compilation


WIDTHS = (1400, 400)


def _column(chrome: webdriver.Chrome, number: int) -> list[str]:
    cells = f"#evaluations tbody td:nth-child({number})"
    return [cell.text for cell in chrome.find_elements(By.CSS_SELECTOR, cells)]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_sorts_filters_and_is_used_by_keyboard(
    chrome: webdriver.Chrome, timed_search: Path, width: int
) -> None:
    load(chrome, write_page([Source(timed_search)])[0], width)
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
    check_quiet(chrome)


def test_the_csv_is_the_table(
    chrome: webdriver.Chrome,
    timed_search: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    load(chrome, write_page([Source(timed_search)])[0], 1400)
    chrome.find_element(By.ID, "query").send_keys("failed")
    chrome.find_element(By.ID, "csv").click()
    loaded = tmp_path_factory.getbasetemp() / "downloads" / "evaluations.csv"
    WebDriverWait(chrome, 20).until(lambda c: loaded.exists())
    with loaded.open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["failed"]
    rows = Source(timed_search).read()["rows"]
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
