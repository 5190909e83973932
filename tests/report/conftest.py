"""A browser, and a search to show in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from bqnn.evaluation.records import Status
from tests.helpers.browser import browser
from tests.helpers.searches import TimedExecutor, run_search, tiny_config

FAULTS = {3: Status.FAILED, 7: Status.WORKER_LOST}


@pytest.fixture(scope="module")
def chrome(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    with browser(tmp_path_factory.getbasetemp() / "downloads") as started:
        yield started


@pytest.fixture(scope="module")
def timed_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of 24 candidates, one of which failed and one was tried again."""
    workdir = tmp_path_factory.mktemp("searched")
    run_search(workdir, tiny_config(), TimedExecutor(faults=FAULTS))
    return workdir
