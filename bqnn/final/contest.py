"""Contest: blocks of a search and their rivals, trained by one recipe, seed by seed."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn.config import NetworkConfig
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import Executor, run_all
from bqnn.final.config import FinalConfig
from bqnn.final.task import Task, Tasks
from bqnn.networks.cost import density, stacked_cost
from bqnn.networks.plan import ImageSpec, fitted
from bqnn.networks.scale import matched
from bqnn.space.nsc import Block, canonical_hash
from bqnn.stats import Interval, Mean, few_mean


class Contestant(NamedTuple):
    """A block with the network that it is trained in.

    Attributes:
      name: its name in tables and folders.
      candidate: the block, and what its network costs.
      config: configuration of its trainings, but for the seed.
    """

    name: str
    candidate: Candidate
    config: FinalConfig


class Contest(NamedTuple):
    """Who takes part.

    Attributes:
      contestants: the first is the reference: the others cost as much.
      seeds: of the trainings of each.
    """

    contestants: tuple[Contestant, ...]
    seeds: tuple[int, ...]


class Ended(NamedTuple):
    """The training of a contestant with one seed has ended."""

    contestant: Contestant
    seed: int
    evaluation: Evaluation


class Standing(NamedTuple):
    """How a contestant did.

    Attributes:
      contestant: the contestant.
      evaluations: of its trainings, by seed.
    """

    contestant: Contestant
    evaluations: Mapping[int, Evaluation]

    @property
    def accuracies(self) -> dict[int, float]:
        """Validation accuracy after the last epoch, of what did not fail, by seed."""
        return {s: e.accuracy[-1] for s, e in self.evaluations.items() if e.accuracy}

    @property
    def failed(self) -> dict[int, Evaluation]:
        """The trainings that failed, by seed."""
        return {s: e for s, e in self.evaluations.items() if not e.accuracy}

    @property
    def mean(self) -> Mean | None:
        """Mean accuracy over the seeds, and its interval; None if all failed."""
        if not self.accuracies:
            return None
        found = few_mean([*self.accuracies.values()])
        ends = np.clip(found.interval, 0.0, 1.0)  # of two values, it may be far wider
        return found._replace(interval=Interval(*ends))


def make_contest(
    blocks: Mapping[str, Block],
    config: FinalConfig,
    images: ImageSpec,
    match: str,
    seeds: int,
) -> Contest:
    """Give every block a network, so that all cost as much as the first.

    Args:
      blocks: by name; the first keeps the widths of the configuration.
      config: the recipe; its seed is the first of the seeds.
      images: shape of the images, and number of classes.
      match: the cost that is made equal: `params`, `flops` or `none`.
      seeds: how many trainings of each block.
    """
    network, first = config.network, next(iter(blocks.values()))
    reference, _ = stacked_cost(first, network, images)
    contestants = []
    for name, block in blocks.items():
        own = fitted(block, network, images)
        if match != "none":
            target = getattr(reference, match)
            own = matched(block, own, images, match, target)
        candidate = _candidate(block, own, images)
        with_own = dataclasses.replace(config, network=own)
        contestants.append(Contestant(name, candidate, with_own))
    begin = config.train.seed
    return Contest(tuple(contestants), tuple(range(begin, begin + seeds)))


def contest_tasks(contest: Contest, workdir: Path) -> Tasks:
    """Make the tasks of `train_contest`: a folder for every contestant and seed."""
    return {
        candidate.id: Task(
            training_folder(workdir, contestant, candidate.seed),
            _with_seed(contestant.config, candidate.seed),
        )
        for candidate, contestant in _trainings(contest)
    }


def training_folder(workdir: Path, contestant: Contestant, seed: int) -> Path:
    """Return the work directory of a contestant's training."""
    return workdir / f"{contestant.name}-seed{seed}"


def train_contest(contest: Contest, executor: Executor) -> Iterator[Ended]:
    """Train every contestant with every seed, and yield each as soon as it ends.

    Args:
      contest: who takes part.
      executor: a started executor whose workers have the tasks of `contest_tasks`.
    """
    who = dict(_trainings(contest))
    for candidate, evaluation in run_all([*who], executor):
        yield Ended(who[candidate], candidate.seed, evaluation)


def standings(contest: Contest, ended: Iterable[Ended]) -> list[Standing]:
    """Rank the contestants by mean validation accuracy, best first.

    Whoever failed with a seed comes after those who did not.
    """
    by_place = {(e.contestant.name, e.seed): e.evaluation for e in ended}
    found = [
        Standing(one, {seed: by_place[one.name, seed] for seed in contest.seeds})
        for one in contest.contestants
    ]

    def rank(standing: Standing) -> tuple[int, float]:
        mean = standing.mean
        return len(standing.failed), -float(mean.value) if mean else 0.0

    return sorted(found, key=rank)


def to_json(
    ranked: Iterable[Standing], latencies: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Convert to values that JSON can hold.

    Args:
      ranked: the contestants.
      latencies: in milliseconds by name, of those that were measured.
    """
    return [_standing_json(one, latencies.get(one.contestant.name)) for one in ranked]


def _standing_json(standing: Standing, latency: float | None) -> dict[str, Any]:
    name, candidate, config = standing.contestant
    mean, several = standing.mean, len(standing.accuracies) > 1
    return {
        "name": name,
        "block": str(candidate.block),
        "widths": list(config.network.widths),
        "repeats": config.network.repeats,
        "params": candidate.network_params,
        "flops": candidate.network_flops,
        "latency_ms": latency,
        "mean": float(mean.value) if mean else None,
        "interval": [float(end) for end in mean.interval] if mean and several else None,
        "accuracy": {str(s): value for s, value in standing.accuracies.items()},
        "failed": {
            str(s): {"status": str(e.status), "error": e.error}
            for s, e in standing.failed.items()
        },
    }


def _with_seed(config: FinalConfig, seed: int) -> FinalConfig:
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, seed=seed)
    )


def _trainings(contest: Contest) -> list[tuple[Candidate, Contestant]]:
    """List all trainings: everyone with the first seed, then with the next."""
    pairs = [(one, seed) for seed in contest.seeds for one in contest.contestants]
    return [
        (dataclasses.replace(one.candidate, slot=slot, seed=seed), one)
        for slot, (one, seed) in enumerate(pairs)
    ]


def _candidate(block: Block, network: NetworkConfig, images: ImageSpec) -> Candidate:
    whole, flops = stacked_cost(block, network, images)
    edges, nodes = density(block)
    sha = canonical_hash(block, network.width)
    return Candidate(
        0, 0, block, sha, 0, flops, edges, nodes, whole.params, whole.flops
    )
