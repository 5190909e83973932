"""A headless Chromium, to look at pages with."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser(downloads: Path) -> Iterator["webdriver.Chrome"]:
    """Start Chromium; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    preferences = {"download.default_directory": str(downloads)}
    options.add_experimental_option("prefs", preferences)
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def load(chrome: "webdriver.Chrome", page: Path, width: int) -> None:
    """Load a report at a width, as a device of that width would, and wait for it."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.get(page.absolute().as_uri())
    ready = "return document.body.dataset.ready === 'yes'"
    WebDriverWait(chrome, 120).until(lambda c: c.execute_script(ready))


def complaints(chrome: "webdriver.Chrome") -> list[str]:
    """Return what the console said since the last call."""
    return [entry["message"] for entry in chrome.get_log("browser")]


def requests(chrome: "webdriver.Chrome") -> set[str]:
    """Return the schemes of all that was asked for since the last call."""
    messages: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"]
        for entry in chrome.get_log("performance")
    ]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return {url.partition(":")[0] for url in urls}


def count(chrome: "webdriver.Chrome", selector: str) -> int:
    """Count the elements that a CSS selector matches."""
    return len(chrome.find_elements(By.CSS_SELECTOR, selector))


def check_quiet(chrome: "webdriver.Chrome") -> None:
    """Check that the page neither complains nor asks for anything from elsewhere."""
    assert complaints(chrome) == []
    assert requests(chrome) <= {"file", "data", "blob"}
