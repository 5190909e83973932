"""Ray executor: workers on a cluster, an actor per core slice, GPU or TPU chip.

The cluster may change while a search runs: what a lost node was evaluating is tried
again elsewhere, and nodes that join get actors.
"""

import contextlib
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from bqnn import machine, own_layers
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.errors import BqnnError, ConfigError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.actor import Actor
from bqnn.executors.executor import Attempt, Options, Ready
from bqnn.executors.guard import failure
from bqnn.executors.lane import (
    Done,
    Lane,
    LaneExecutor,
    Lost,
    News,
    State,
    candidates_ahead,
)
from bqnn.executors.ray_head import Head

# Seconds between two looks whether the user has asked to stop, and between two looks
# at the cluster's nodes.
_POLL, _MEMBERSHIP = 0.2, 2.0

# What Ray raises where it finds no cluster, besides errors of its own.
_UNREACHABLE = (ConnectionError, RuntimeError, ValueError, TimeoutError)


class RayExecutor(LaneExecutor["_ActorLane"]):
    """Workers on the nodes of a Ray cluster.

    Raises:
      ConfigError: on construction, if Ray is not installed.
    """

    # Where nodes have several workers, Ray keeps their memory apart.
    shares_memory = False

    def __init__(self, config: Config, options: Options) -> None:
        """Import Ray; join no cluster yet."""
        self._ray = _import_ray(on_this_machine=options.address is None)
        super().__init__(config, options, self._answer, self._drop)
        self._resources = options.resources or {"CPU": float(config.train.threads)}
        self._made, self._looked = 0, 0.0
        self._head: Head | None = None

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Join the cluster; yields how many workers are ready, until one is.

        Raises:
          SearchError: if the cluster cannot be reached.
        """
        _connect(self._ray, self._options.address)
        self._head = Head(self._ray.get_runtime_context().gcs_address)
        # Every node gets one copy, which all its workers read.
        self._dataset = self._ray.put(dataset)
        while all(lane.state is State.STARTING for lane in self._lanes):
            self._update()
            yield WarmUpProgress(0, max(1, len(self._lanes)))
            self._wait()
            for lane in list(self._lanes):
                self._advance(lane)

    def collect(self) -> list[Attempt]:
        """Wait until attempts end, workers become ready, or nodes come or go.

        Raises:
          KeyboardInterrupt: if interrupted.
          BqnnError: as a worker raises it.
        """
        self._update()
        self._wait()
        return super().collect()

    def close(self) -> None:
        """Kill the workers and leave the cluster."""
        if not (self._head and self._head.lost):
            for lane in self._lanes:
                self._ray.kill(lane.actor)
        # Without the head, workers end with their nodes.
        self._lanes.clear()
        self._ray.shutdown()

    def _update(self) -> None:
        """Start workers where the cluster has room for them."""
        if time.monotonic() - self._looked < _MEMBERSHIP:
            return
        self._looked = time.monotonic()
        if self._head is None or not self._head.answers():
            return
        nodes = [n["Resources"] for n in self._nodes(self._head) if n["Alive"]]
        room = sum(_capacity(node, self._resources) for node in nodes)
        for _ in range(min(self._options.workers or room, room) - len(self._lanes)):
            self._lanes.append(self._make_lane())
        if not room and not self._lanes:
            raise SearchError(
                f"no node of the cluster has {_words(self._resources)} for a worker: "
                "add one, or ask for less with --worker_resources"
            )

    def _nodes(self, head: Head) -> list[dict[str, Any]]:
        try:
            return list(self._ray.nodes())
        except (*_UNREACHABLE, self._ray.exceptions.RayError) as error:
            # As of a head that has started again: it is that of another cluster.
            head.give_up(str(error))

    def _make_lane(self) -> "_ActorLane":
        self._made += 1
        others = {k: v for k, v in self._resources.items() if k not in ("CPU", "GPU")}
        maker = self._ray.remote(Actor).options(
            num_cpus=self._resources.get("CPU", 0),
            num_gpus=self._resources.get("GPU", 0),
            resources=others,
            max_restarts=0,
        )
        accelerators = [
            amount for k, amount in self._resources.items() if k == "GPU" or "TPU" in k
        ]
        actor = maker.remote(
            self._config,
            self._dataset,
            self._options.cache_dir,
            self._options.memory,
            max(accelerators, default=None),
            self._options.make_worker,
            own_layers.packed(),
        )
        cores = int(self._resources.get("CPU", 1))
        ahead = candidates_ahead(cores, self._options.memory or machine.memory())
        return _ActorLane(f"actor {self._made}", actor, ahead)

    def _wait(self) -> None:
        refs = [lane.ref for lane in self._lanes if lane.ref]
        if refs:
            self._ray.wait(refs, timeout=_POLL)
        else:
            time.sleep(_POLL)
        if self._options.interrupted():
            raise KeyboardInterrupt

    def _answer(self, lane: "_ActorLane") -> News | None:
        """Take what the call in progress returned, if there is one and it has ended."""
        if lane.ref is None or not self._ray.wait([lane.ref], timeout=0)[0]:
            return None
        errors = self._ray.exceptions
        try:
            answer: Ready | Evaluation = self._ray.get(lane.ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, BqnnError):
                raise error.cause from None
            return Lost(failure(error.cause), error)
        except errors.RayError as error:
            return Lost(_lost(error), error)
        lane.ref = None
        if isinstance(answer, Evaluation):
            return Done(answer, worn=answer.status == Status.OUT_OF_MEMORY)
        return answer

    def _drop(self, lane: "_ActorLane", error: BaseException | None) -> None:
        """Let go of a worker; `_update` makes another one at once."""
        del error
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(lane.actor)
        self._lanes.remove(lane)
        self._looked = 0.0


class _ActorLane(Lane):
    """An actor and its candidates.

    Attributes:
      actor: the actor.
      ref: of the call in progress, None if there is none.
    """

    def __init__(self, name: str, actor: Any, ahead: int) -> None:
        """Have it load programs; the rest as of `Lane`."""
        super().__init__(name, self._begin_on_actor, ahead)
        self.actor = actor
        self.ref: Any = actor.make_ready.remote()

    def _begin_on_actor(
        self, candidate: Candidate, following: Sequence[Candidate]
    ) -> None:
        self.ref = self.actor.run.remote(candidate, following)


def _import_ray(on_this_machine: bool) -> ModuleType:
    if on_this_machine:
        # Ray runs what anyone who reaches it sends. It listens on every interface,
        # unless told before its import that there is no other machine.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--executor=ray: Ray is not installed: pip install ray, or use "
            "--executor=process"
        ) from error
    return ray


def _connect(ray: ModuleType, address: str | None) -> None:
    """Join the cluster at `address`, or start one on this machine."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    options = {} if address else {"include_dashboard": False}
    try:
        # Ray forks to start its own processes, which replace themselves at once.
        warnings.filterwarnings("ignore", r"os.fork\(\) was called", RuntimeWarning)
        # Without an address, Ray joins whatever cluster runs on this machine.
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=40, **options
        )
    except (*_UNREACHABLE, ray.exceptions.RayError) as error:
        raise SearchError(
            f"no Ray cluster at {address or 'this machine'}: {error}"
        ) from error
    finally:
        # Ray takes SIGTERM over; the search stops by its own rules.
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _capacity(node: Mapping[str, float], needed: Mapping[str, float]) -> int:
    """Count the workers that fit into a node."""
    counts = (node.get(name, 0) // amount for name, amount in needed.items() if amount)
    return int(min(counts, default=0))


def _lost(error: BaseException) -> Evaluation:
    """Make the evaluation of a candidate whose actor is gone."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    text = f"{type(error).__name__}: {lines[0].strip()}\n{error}"
    out_of_memory = "OutOfMemory" in text or "low on memory" in text
    status = Status.OUT_OF_MEMORY if out_of_memory else Status.WORKER_LOST
    return Evaluation(status, error=text)


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
