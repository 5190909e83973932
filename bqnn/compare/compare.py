"""Every agent within every budget; a generator of what is done."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bqnn.compare.contenders import Contender
from bqnn.compare.evaluators import Evaluator
from bqnn.compare.statistics import Runs
from bqnn.compare.store import Store


class Entry(NamedTuple):
    """Searches by one agent within one budget."""

    contender: Contender
    budget: int
    runs: Runs


class Part(NamedTuple):
    """How far an entry is: seeds done."""

    contender: Contender
    budget: int
    done: int


def compare(
    contenders: Sequence[Contender],
    budgets: Sequence[int],
    seeds: int,
    evaluator: Evaluator,
    store: Store,
) -> Iterator[Part | Entry]:
    """Let every agent search within every budget, with the same seeds.

    Yields:
      Parts as they are done, and entries when they are complete.
    """
    for budget in budgets:
        for contender in contenders:
            runs = store.load(contender, budget, seeds)
            if runs is None:
                parts: list[Runs] = []
                for part in evaluator.run(contender, budget, seeds):
                    parts.append(part)
                    done = sum(len(some.rewards) for some in parts)
                    yield Part(contender, budget, done)
                runs = Runs(*map(np.concatenate, zip(*parts, strict=True)))
                store.save(contender, budget, runs)
            yield Entry(contender, budget, runs)
