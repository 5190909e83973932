"""Evaluates on a cluster: an actor per core slice, GPU or TPU chip (Ray).

The cluster may change while a search runs: what a lost node was evaluating is tried
again elsewhere, and nodes that join get actors.
"""

import contextlib
import dataclasses
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.warmup import Progress
from bqnn.errors import BqnnError, ConfigError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.activity import Activity
from bqnn.executors.actor import Actor
from bqnn.executors.executor import Attempt
from bqnn.executors.guard import failure, timed_out
from bqnn.executors.lane import Lane, spread
from bqnn.executors.options import Options

# How often a wait looks whether the user has asked to stop, and how often the cluster
# is asked for its nodes, in seconds.
_POLL, _MEMBERSHIP = 0.2, 2.0


class RayExecutor:
    """Workers on the nodes of a Ray cluster.

    Raises:
      ConfigError: on construction, if Ray is not installed.
    """

    # Where nodes have several workers, Ray keeps their memory apart.
    shares_memory = False

    def __init__(self, config: Config, options: Options) -> None:
        """Settle this process, which leaves the accelerators to the workers."""
        self._ray = _import_ray(on_this_machine=options.address is None)
        runtime.configure_process(config.train.threads, options.cache_dir)
        runtime.use_host_only()
        self._config, self._options = config, options
        self._resources = options.resources or {"CPU": float(config.train.threads)}
        self._lanes: list[_ActorLane] = []
        self._requeued: list[Candidate] = []
        self._made, self._looked = 0, 0.0

    def start(self, dataset: Dataset) -> Iterator[Progress]:
        """Join the cluster; yields how many workers are ready, until one is.

        Raises:
          SearchError: if the cluster cannot be reached.
        """
        _connect(self._ray, self._options.address)
        # Every node gets one copy, which its workers read in place.
        self._dataset = self._ray.put(dataset)
        while not any(lane.opened for lane in self._lanes):
            self._update()
            yield Progress(0, max(1, len(self._lanes)))
            self._wait()
            for lane in list(self._lanes):
                self._advance(lane)

    def free(self) -> int:
        """Count the places of the workers that are ready."""
        return max(0, sum(lane.free for lane in self._lanes) - len(self._requeued))

    def submit(self, candidate: Candidate) -> None:
        """Give a candidate to the worker with the least to do."""
        max(self._lanes, key=lambda lane: lane.free).take(candidate)

    def collect(self) -> list[Attempt]:
        """Wait until attempts end, workers become ready, or nodes come or go.

        Raises:
          KeyboardInterrupt: if interrupted.
          BqnnError: as a worker raises it.
        """
        self._update()
        self._wait()
        ended = (self._advance(lane) for lane in list(self._lanes))
        attempts = [attempt for attempt in ended if attempt]
        spread(self._lanes, self._requeued)
        return attempts

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return [lane.activity() for lane in self._lanes]

    def close(self) -> None:
        """Kill the workers and leave the cluster."""
        for lane in self._lanes:
            self._ray.kill(lane.actor)
        self._lanes = []
        self._ray.shutdown()

    def _update(self) -> None:
        """Start workers where the cluster has room for them."""
        if time.monotonic() - self._looked < _MEMBERSHIP:
            return
        self._looked = time.monotonic()
        nodes = [n["Resources"] for n in self._ray.nodes() if n["Alive"]]
        room = sum(_places(node, self._resources) for node in nodes)
        for _ in range(min(self._options.workers or room, room) - len(self._lanes)):
            self._lanes.append(self._make_lane())
        if not room and not self._lanes:
            raise SearchError(
                f"no node of the cluster has {_words(self._resources)} for a worker: "
                "add one, or ask for less with --worker_resources"
            )

    def _make_lane(self) -> "_ActorLane":
        self._made += 1
        others = {k: v for k, v in self._resources.items() if k not in ("CPU", "GPU")}
        maker = self._ray.remote(Actor).options(
            num_cpus=self._resources.get("CPU", 0),
            num_gpus=self._resources.get("GPU", 0),
            resources=others,
            max_restarts=0,
        )
        accelerated = any(k == "GPU" or "TPU" in k for k in self._resources)
        actor = maker.remote(
            self._config,
            self._dataset,
            self._options.cache_dir,
            self._options.memory,
            accelerated,
            self._options.make_worker,
        )
        return _ActorLane(f"actor {self._made}", actor)

    def _wait(self) -> None:
        refs = [lane.ref for lane in self._lanes if lane.ref]
        if refs:
            self._ray.wait(refs, timeout=_POLL)
        else:
            time.sleep(_POLL)
        if self._options.interrupted():
            raise KeyboardInterrupt

    def _advance(self, lane: "_ActorLane") -> Attempt | None:
        """Look at what a worker has finished; let go of it if it is gone."""
        if lane.ref is None:
            return None
        candidate = lane.candidate
        if not self._ray.wait([lane.ref], timeout=0)[0]:
            if candidate is None or not lane.overdue(self._config.budget.timeout):
                return None
            self._drop(lane)
            return candidate, _named(timed_out(self._config), lane.name)
        answer, evaluation = self._answer(lane)
        if candidate is None:
            lane.ready(answer)
            return None
        return candidate, _named(evaluation or answer, lane.name)

    def _answer(self, lane: "_ActorLane") -> tuple[Any, Evaluation | None]:
        """Get what a worker returned, or what becomes of its candidate."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(lane.ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, BqnnError):
                raise error.cause from None
            self._drop(lane)
            return None, failure(error.cause)
        except errors.RayError as error:
            self._drop(lane)
            return None, _lost(error)
        lane.ref = None
        if lane.candidate is not None:
            if answer.status == Status.OUT_OF_MEMORY:
                self._drop(lane)
            else:
                lane.go_on()
        return answer, None

    def _drop(self, lane: "_ActorLane") -> None:
        self._requeued += lane.following
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(lane.actor)
        self._lanes.remove(lane)
        self._looked = 0.0


class _ActorLane(Lane):
    """An actor, and what it has to do."""

    def __init__(self, name: str, actor: Any) -> None:
        """Have it load programs."""
        super().__init__(name)
        self.actor = actor
        self.ref: Any = actor.make_ready.remote()

    def ready(self, answer: Any) -> None:
        """Take note that it is ready, if it is."""
        if answer is not None:
            self.name = f"{self.name} on {answer.host}"
            self.open(answer.pipelined)

    def begin(self, candidate: Candidate, following: Candidate | None) -> None:
        """Have it evaluate `candidate`, and prepare `following`."""
        self.ref = self.actor.run.remote(candidate, following)


def _import_ray(on_this_machine: bool) -> ModuleType:
    if on_this_machine:
        # Ray runs what whoever reaches it sends, and listens on every interface unless
        # it was told, before it is imported, that there is no other machine.
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
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise SearchError(
            f"no Ray cluster at {address or 'this machine'}: {error}"
        ) from error
    finally:
        # Ray takes SIGTERM over; the search stops by its own rules.
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _places(node: Mapping[str, float], needed: Mapping[str, float]) -> int:
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


def _named(evaluation: Evaluation, worker: str) -> Evaluation:
    return dataclasses.replace(evaluation, worker=worker)


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
