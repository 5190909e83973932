"""What executors are told besides the configuration: nothing that changes results."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bqnn.executors.worker import MakeWorker, Worker


class Options(NamedTuple):
    """How to evaluate candidates.

    Attributes:
      interrupted: tells whether the user asked to stop.
      cache_dir: where compiled programs are kept; only while it runs if None.
      workers: how many; what the machine or the cluster has room for if None.
      memory: bytes that one worker may hold; its share of the machine if None.
      resources: what a worker on a cluster takes, by name; ray's names.
      address: of the cluster; one on this machine alone if None.
      make_worker: makes what evaluates candidates in a worker.
    """

    interrupted: Callable[[], bool] = lambda: False
    cache_dir: str | None = None
    workers: int | None = None
    memory: int | None = None
    resources: Mapping[str, float] | None = None
    address: str | None = None
    make_worker: MakeWorker = Worker
