"""One batch over any number of devices and processes: the same training."""

import json
import re
import socket

import numpy as np
import pytest

from tests.helpers import replicas
from tests.helpers.programs import Fork


def _start(*arguments: str) -> Fork:
    return Fork("tests.helpers.replicas", *arguments)


def _losses(process: Fork) -> list[float]:
    status, out, _ = process.end()
    assert status == 0, out
    printed = re.search("^losses (.*)$", out, re.MULTILINE)
    assert printed, out
    found = json.loads(printed[1])
    assert len(found) == replicas.STEPS
    return list(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def want() -> list[float]:
    """The losses on the one device of this process."""
    return replicas.losses()


@pytest.mark.quick_compilation
def test_any_number_of_devices_and_processes_trains_alike(want: list[float]) -> None:
    assert want[-1] < want[0]
    for process in [_start(devices) for devices in ("2", "8")]:
        np.testing.assert_allclose(_losses(process), want, rtol=1e-5)
    address = f"localhost:{_free_port()}"
    pair = [_start("2", address, "2", str(number)) for number in range(2)]
    for process in pair:
        np.testing.assert_allclose(_losses(process), want, rtol=1e-5)


@pytest.mark.quick_compilation
def test_statistics_of_one_device_are_those_of_the_batch_either_way(
    want: list[float],
) -> None:
    np.testing.assert_allclose(replicas.losses(sync=False), want, rtol=1e-5)
