"""The clock for time-outs stands still while its process is stopped."""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from bqnn.executors import awake
from bqnn.executors.awake import AwakeClock
from bqnn.executors.child import Child
from tests.helpers.children import answer_of

_clocks: list[AwakeClock] = []


def _start() -> int:
    _clocks.append(AwakeClock(tick=0.05, longest=0.25))
    return os.getpid()


def _read() -> float:
    return _clocks[0].seconds()


@pytest.fixture
def child() -> Iterator[Child]:
    """A process with a clock."""
    child = Child("clock")
    yield child
    child.kill()


def test_a_stop_does_not_count(child: Child) -> None:
    child.call(_start)
    process = psutil.Process(answer_of(child))
    start = time.monotonic()
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    stopped = time.monotonic()
    time.sleep(2)
    stop = time.monotonic() - stopped
    process.send_signal(signal.SIGCONT)
    child.call(_read)
    awake_for, passed = answer_of(child), time.monotonic() - start
    # Of the stop, what counts at most between two looks.
    assert awake_for <= passed - stop + 0.5


def test_while_it_runs_every_second_counts() -> None:
    start, before = time.monotonic(), awake.seconds()
    time.sleep(0.2)
    passed = awake.seconds() - before
    assert 0.2 <= passed <= time.monotonic() - start
