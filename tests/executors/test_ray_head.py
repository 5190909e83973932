"""A search that has lost its cluster ends by its own rules."""

import socket
import types
from typing import Any

import pytest

from bqnn.errors import SearchError
from bqnn.executors import ray, ray_head
from bqnn.executors.executor import Options
from tests.helpers.searches import tiny_config


def _listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_head_is_given_up_when_it_has_not_answered_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _listening() as server:
        head = ray_head.Head(_address(server))
        assert head.answers()
    assert not head.answers() and not head.lost
    monkeypatch.setattr(ray_head, "_PATIENCE", 0.0)
    with pytest.raises(SearchError, match="lost the head.*run the same command again"):
        head.answers()
    assert head.lost


class _Ray:
    """A cluster whose head has started again: it refuses what it does not know."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            """Of Ray."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.calls: list[str] = []

    def init(self, **_: Any) -> None:
        if not self._address:
            raise self.exceptions.RayError("token is missing")

    def get_runtime_context(self) -> Any:
        return types.SimpleNamespace(gcs_address=self._address)

    def put(self, dataset: Any) -> Any:
        return dataset

    def nodes(self) -> Any:
        raise self.exceptions.RayError("unknown cluster")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def _executor(monkeypatch: pytest.MonkeyPatch, fake: _Ray) -> ray.RayExecutor:
    monkeypatch.setattr(ray, "_import_ray", lambda on_this_machine: fake)
    return ray.RayExecutor(tiny_config(), Options(address="there:1"))


def test_a_head_that_is_another_cluster_s_ends_the_search_without_asking_it_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _listening() as server:
        fake = _Ray(_address(server))
        executor = _executor(monkeypatch, fake)
        with pytest.raises(SearchError, match="lost the head.*unknown cluster"):
            next(iter(executor.start(None)))  # type: ignore[arg-type]
        executor.close()
    assert fake.calls == ["shutdown"]


def test_a_cluster_that_refuses_us_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = _executor(monkeypatch, _Ray(""))
    with pytest.raises(
        SearchError, match="no Ray cluster at there:1: token is missing"
    ):
        next(iter(executor.start(None)))  # type: ignore[arg-type]
    executor.close()
