"""Given: results of earlier searches, and blocks to try first, as facts of a journal.

They are copied into the journal before the first batch, so it replays alone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bqnn import files
from bqnn.config.sections import MOST_CANDIDATES
from bqnn.errors import ConfigError, JournalError, NscError
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.search import facts, journal
from bqnn.search.fold import warm_start
from bqnn.search.history import Given, Learnt
from bqnn.search.journal import Journal
from bqnn.search.problem import Problem, make_candidate, with_given
from bqnn.search.reward import last_accuracy
from bqnn.search.settled import evaluated
from bqnn.search.state import first_state
from bqnn.space import known, nsc


def give(
    opened: Journal,
    problem: Problem,
    learn_from: Sequence[Path] = (),
    try_first: Sequence[nsc.Block] = (),
) -> Problem:
    """Give a new search what it begins with; of one that goes on, want the same.

    Args:
      opened: its journal, open to write, and started.
      problem: the search.
      learn_from: work directories of searches whose results the agent is told, in
        this order. They are read when the search is new, and never again.
      try_first: blocks to ask first.

    Returns:
      The problem, bound to what the journal now holds.

    Raises:
      ConfigError: if there are too many, or blocks that the space does not have.
      JournalError: if a directory has nothing to learn from, or the search was given
        something else when it began.
    """
    given, first = opened.given(), tuple(try_first)
    if given is not None:
        names = (facts.storable(str(folder)) for folder in learn_from)
        _want_same(opened.path.parent, given, tuple(dict.fromkeys(names)), first)
        return with_given(problem, given)
    given = Given(_learn(opened, problem, learn_from), first)
    _check(problem, given)
    problem, start = with_given(problem, given), None
    if given.learnt:
        state = first_state(problem, given.learnt)
        start = warm_start(state, given.learnt)
    opened.add_given(given, start)
    return problem


def read_blocks(path: Path) -> tuple[nsc.Block, ...]:
    """Read the blocks of a text file: an NSC or a name a line; # begins a comment.

    Raises:
      ConfigError: if it cannot be read, or has no block.
      NscError: names the line that is no block.
    """
    try:
        lines = files.read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; want a file of blocks") from error
    blocks = []
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            try:
                blocks.append(known.parse(text))
            except NscError as error:
                raise NscError(f"{path}, line {number}: {error}") from error
    if not blocks:
        raise ConfigError(f"{path} has no block: want one NSC a line")
    return tuple(blocks)


def _learn(
    opened: Journal, problem: Problem, learn_from: Sequence[Path]
) -> tuple[Learnt, ...]:
    fingerprint, own = opened.run().fingerprint, opened.path.parent.resolve()
    learnt: list[Learnt] = []
    for folder in dict.fromkeys(learn_from):
        if folder.resolve() == own:
            raise ConfigError(f"{folder} is the search's own: it cannot learn from it")
        learnt += _results(problem, fingerprint, folder)
    return tuple(learnt)


def _results(problem: Problem, fingerprint: str, folder: Path) -> list[Learnt]:
    """Read all that has an accuracy; failures may come of another budget or machine."""
    with journal.open_readonly(folder) as earlier:
        run, history = earlier.run(), earlier.history()
    if (run.fingerprint, run.images) != (fingerprint, problem.images):
        raise JournalError(
            f"{folder} holds a search on other data ({run.config.data.name}, held out "
            f"{run.config.data.validation:g}): want one on the same images, since its "
            "accuracies say nothing of others"
        )
    name = facts.storable(str(folder))
    found = [
        Learnt(name, _as_here(problem, event.candidate), _curve(event.evaluation))
        for event in evaluated(problem, history)
        if last_accuracy(event.candidate, event.evaluation) is not None
    ]
    if not found:
        raise JournalError(f"{folder} has no result to learn from yet")
    for result in found:
        _check_block(problem, result.candidate.block, f"{folder}: ")
    return found


def _curve(evaluation: Evaluation) -> tuple[float, ...]:
    return (*evaluation.accuracy[:-1], evaluation.final)


def _as_here(problem: Problem, candidate: Candidate) -> Candidate:
    """Compute what a block costs in the networks of this search."""
    here = make_candidate(problem, candidate.block, *candidate.id)
    return dataclasses.replace(here, seed=candidate.seed)


def _check(problem: Problem, given: Given) -> None:
    """Want blocks that the space has, and no more than there is room for."""
    total = problem.iterations * problem.config.search.batch
    if len(given.first) > total:
        raise ConfigError(
            f"{len(given.first)} blocks to try first: want {total} at most, the "
            "candidates of the search"
        )
    if len(given.learnt) + total > MOST_CANDIDATES:
        raise ConfigError(
            f"{len(given.learnt)} results to learn from: want at most "
            f"{MOST_CANDIDATES:,} with the {total} candidates of the search"
        )
    for block in given.first:
        _check_block(problem, block, "to be tried first: ")


def _check_block(problem: Problem, block: nsc.Block, where: str) -> None:
    try:
        problem.space.encode(block)
    except NscError as error:
        raise ConfigError(f"{where}{error}") from error


def _want_same(
    workdir: Path,
    given: Given,
    names: tuple[str, ...],
    first: tuple[nsc.Block, ...],
) -> None:
    was = tuple(dict.fromkeys(result.workdir for result in given.learnt))
    if was != names:
        old, new = (", ".join(n) or "no other" for n in (was, names))
        raise JournalError(
            f"{workdir} holds a search that learnt from {old}, not from {new}: use the "
            "same --learn_from, or another --workdir"
        )
    if first != given.first:
        raise JournalError(
            f"{workdir} holds a search that was given {len(given.first)} blocks to try "
            f"first, not these {len(first)}: use the same --try_first, or another "
            "--workdir"
        )
