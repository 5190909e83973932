"""Oracle: every block of a small space, trained with several seeds."""

import dataclasses
from collections.abc import Iterator, Sequence

from bqnn.compare.tabular import all_actions, check_size
from bqnn.config import Config
from bqnn.errors import SearchError
from bqnn.executors.executor import Executor, run_all
from bqnn.networks.plan import ImageSpec
from bqnn.search.problem import make_candidate, make_problem
from bqnn.search.reward import last_accuracy
from bqnn.space import nsc


def canonical_blocks(config: Config, images: ImageSpec) -> list[nsc.Block]:
    """List the first block of each canonical hash, in the order of `all_actions`.

    Raises:
      ConfigError: if the space has too many.
    """
    space = make_problem(config, images).space
    check_size(space.arrays)
    found: dict[str, nsc.Block] = {}
    for actions in all_actions(space.arrays):
        block = space.decode(actions)
        found.setdefault(nsc.canonical_hash(block, config.network.width), block)
    return list(found.values())


def train_blocks(
    blocks: Sequence[nsc.Block],
    config: Config,
    images: ImageSpec,
    seeds: int,
    executor: Executor,
) -> Iterator[tuple[nsc.Block, tuple[float, ...]]]:
    """Train blocks with several seeds, and yield each when it is done.

    Raises:
      SearchError: if a training ends without an accuracy.
    """
    problems = [make_problem(_with_seed(config, s), images) for s in range(seeds)]
    # The id (iteration, slot) of a candidate is (number of its block, seed).
    candidates = [
        make_candidate(problem, block, number, seed)
        for number, block in enumerate(blocks)
        for seed, problem in enumerate(problems)
    ]
    done: dict[int, dict[int, float]] = {}
    for candidate, evaluation in run_all(candidates, executor):
        accuracy = last_accuracy(evaluation)
        if accuracy is None:
            raise SearchError(
                f"{candidate.block}: {evaluation.status}, {evaluation.error}"
            )
        number, seed = candidate.id
        results = done.setdefault(number, {})
        results[seed] = accuracy
        if len(results) == seeds:
            del done[number]
            yield blocks[number], tuple(results[seed] for seed in range(seeds))


def _with_seed(config: Config, seed: int) -> Config:
    search = dataclasses.replace(config.search, seed=seed)
    return dataclasses.replace(config, search=search)
