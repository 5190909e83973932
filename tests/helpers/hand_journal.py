"""A journal written by hand, whose numbers can be worked out."""

import dataclasses
from pathlib import Path

from bqnn.config import Config
from bqnn.evaluation.records import Evaluation, Status
from bqnn.search import journal, problem
from bqnn.search.history import Ask, Run, Tell
from bqnn.search.journal import Journal
from bqnn.space import nsc
from tests.helpers.searches import SPEC, problem_of, tiny_config

ONE, TWO = nsc.parse("1,1,3,0,0"), nsc.parse("1,1,3,0,0;2,2,3,1,0")

# Two batches of two; the reward is the accuracy, and 1/10 without one.
HAND = tiny_config(
    agent={"schedule": "1.0:1,0.5:1"},
    search={"batch": 2},
    reward={"mu": 0.0, "rho": 0.0},
)


def ask(facts: Journal, config: Config, iteration: int, epsilon: float) -> Ask:
    """Record a batch of two asked."""
    work = problem_of(config)
    candidates = tuple(
        problem.make_candidate(work, block, iteration, slot)
        for slot, block in enumerate((ONE, TWO))
    )
    asked = Ask(iteration, iteration, epsilon, candidates)
    facts.add_ask(asked)
    return asked


def tell(facts: Journal, number: int) -> None:
    """Record that it was told, with a digest that no agent has."""
    facts.add_tell(Tell(number, ((number, 0), (number, 1)), "bad", "bad"))


def by_hand(workdir: Path) -> None:
    """A journal of four candidates, one of which fails at the second attempt."""
    seconds = {"prepare": 1.0, "train": 3.0, "hidden": 1.0}
    good = Evaluation(Status.OK, (0.1, 0.2), seconds=seconds, worker="worker 1")
    lost = Evaluation(Status.WORKER_LOST, error="killed by signal 9\nmore")
    failed = Evaluation(Status.FAILED, seconds={"train": 2.0}, error="no luck")
    better = dataclasses.replace(good, accuracy=(0.3, 0.6))
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(HAND, SPEC, "f", {"python": "3"}))
        first = ask(facts, HAND, 0, 1.0).candidates
        facts.add_evaluation(first[0], 1, good)
        facts.add_evaluation(first[1], 1, lost)
        facts.add_evaluation(first[1], 2, failed)
        tell(facts, 0)
        second = ask(facts, HAND, 1, 0.5).candidates
        reused = dataclasses.replace(good, status=Status.REUSED)
        facts.add_evaluation(second[0], 1, reused)
        facts.add_evaluation(second[1], 1, better)
