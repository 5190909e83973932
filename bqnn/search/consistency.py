"""Consistency: the facts of a journal must agree with each other."""

from collections.abc import Iterable, Sequence
from typing import Any

from bqnn.config import Config, schedule
from bqnn.config.network import WIRINGS
from bqnn.config.sections import MOST_CANDIDATES
from bqnn.evaluation.records import (
    Candidate,
    CandidateId,
    Status,
    is_settled,
    missed,
    repeated,
)
from bqnn.layer_types import TYPES
from bqnn.schema import FactError
from bqnn.search.facts import CHANGES, row_name
from bqnn.search.history import (
    Ask,
    Attempts,
    Given,
    History,
    Round,
    Tell,
    WarmStart,
)
from bqnn.search.rounds import moments
from bqnn.space.nsc import Block


def check(config: Config, history: History) -> None:
    """Want facts that agree with each other, and with the configuration.

    Raises:
      FactError: names the row.
    """
    asks, attempts, tells, given, rounds, start = history
    asked = [candidate for ask in asks for candidate in ask.candidates]
    full = [candidate for this in rounds for candidate in this.candidates]
    check_given(config, given, start)
    check_asks(config, asks, len(tells))
    check_attempts([*asked, *full], attempts)
    check_tells(config, tells, attempts)
    check_rounds(config, rounds, len(tells), attempts)


def check_rounds(
    config: Config, rounds: Sequence[Round], told: int, attempts: Attempts
) -> None:
    """Want rounds when they were due, that ended when all was trained.

    Raises:
      FactError: names the row.
    """
    due = moments(config)
    for this in rounds:
        want = due[this.number : this.number + 1]
        if [this.told] != want or this.told > told:
            what = f"it came after {this.told} batches told: want it after {want}"
            raise _error("rounds", [this.number], what)
        slots = [candidate.slot for candidate in this.candidates]
        if slots != list(range(len(slots))):
            raise _error("rounds", [this.number], "its candidates have no such slots")
        ended = [
            is_settled([e.status for e in attempts[c.id]])
            for c in this.candidates
            if c.id in attempts
        ]
        if this.ended and (len(ended) < len(slots) or not all(ended)):
            raise _error("fits", [this.number], "its blocks were not all trained")
        if not this.ended and this is not rounds[-1]:
            raise _error("fits", [this.number], "there is none, but a later round")


def check_asks(config: Config, asks: Sequence[Ask], told: int) -> None:
    """Want batches in order, of the size and for as long as the configuration says.

    Args:
      config: of the search.
      asks: all of them.
      told: batches told.

    Raises:
      FactError: names the row.
    """
    iterations = schedule.parse(config.agent.schedule).iterations
    _check_numbers("asks", [ask.iteration for ask in asks], iterations)
    before = 0
    for ask in asks:
        most = min(ask.iteration, told)
        if not before <= ask.told <= most:
            wanted = f"want {before} to {most}"
            raise _error("asks", [ask.iteration], f"told is {ask.told}: {wanted}")
        before = ask.told
        slots = [candidate.slot for candidate in ask.candidates]
        if slots != list(range(config.search.batch)):
            wanted = f"0 to {config.search.batch - 1}, as search.batch says"
            what = f"it has {len(slots)} candidates: want slots {wanted}"
            raise _error("asks", [ask.iteration], what)
        _check_standing(config, ask)
        for candidate in ask.candidates:
            _check_block(config, "candidates", candidate.id, candidate.block)


def _check_standing(config: Config, ask: Ask) -> None:
    rungs, repeat_from = ask.standing
    want = [epoch for epoch in config.train.rungs if epoch < config.train.epochs]
    if [rung.epoch for rung in rungs] != want:
        what = f"its rungs are not after epochs {want}, as train.rungs says"
        raise _error("asks", [ask.iteration], what)
    if (repeat_from is None) != (config.train.repeats == 1):
        what = f"repeat_from is {repeat_from}: train.repeats says otherwise"
        raise _error("asks", [ask.iteration], what)


def check_given(config: Config, given: Given, warm_start: WarmStart | None) -> None:
    """Want blocks of the space, no more than there is room for, and a warm start.

    Raises:
      FactError: names the row.
    """
    total = schedule.parse(config.agent.schedule).iterations * config.search.batch
    for table, blocks, most in (
        ("learnt", [x.candidate.block for x in given.learnt], MOST_CANDIDATES - total),
        ("tried_first", given.first, total),
    ):
        if len(blocks) > most:
            raise _error(table, [most], f"want {most:,} rows at most")
        for number, block in enumerate(blocks):
            _check_block(config, table, [number], block)
    if bool(given.learnt) != bool(warm_start):
        rows = "one row" if given.learnt else "no row"
        raise _error("warm_start", [], f"want {rows}, as table learnt has it")


def check_attempts(known: Iterable[Candidate], attempts: Attempts) -> None:
    """Want attempts at candidates that were asked, and stops at their rungs.

    Raises:
      FactError: names the row.
    """
    candidates = {candidate.id: candidate for candidate in known}
    strange = attempts.keys() - candidates.keys()
    if strange:
        raise _error("evaluations", min(strange), "no such candidate was asked")
    for candidate_id, tried in attempts.items():
        last, candidate = tried[-1], candidates[candidate_id]
        rung, trained = missed(candidate.rungs, last.accuracy), len(last.accuracy)
        fits = rung is not None and rung.epoch == trained
        if last.status == Status.STOPPED and not fits:
            what = f"it stopped after {trained} epochs, where it missed no rung"
            raise _error("evaluations", candidate_id, what)
        again = last.status == Status.OK and repeated(candidate, last.accuracy)
        if last.status != Status.REUSED and again != bool(last.repeats):
            want = "repeats" if again else "none"
            what = f"it has repeats {list(last.repeats)}: want {want}"
            raise _error("evaluations", candidate_id, what)


def check_tells(config: Config, tells: Sequence[Tell], attempts: Attempts) -> None:
    """Want batches in order, of candidates that are done and were not told before.

    The first and the last digest must be of the whole state.

    Raises:
      FactError: names the row.
    """
    _check_numbers("tells", [tell.number for tell in tells], len(tells))
    ends = 0, schedule.parse(config.agent.schedule).iterations - 1
    before: set[CandidateId] = set()
    for tell in tells:
        size = len(tell.ids)
        if size != config.search.batch:
            wanted = f"want {config.search.batch}, as search.batch says"
            raise _error("tells", [tell.number], f"it has {size} candidates: {wanted}")
        if tell.number in ends and tell.digest.endswith(CHANGES):
            what = "its digest is of changes: want one of the whole state"
            raise _error("tells", [tell.number], what)
        for candidate_id in tell.ids:
            tried = [attempt.status for attempt in attempts.get(candidate_id, ())]
            if candidate_id in before:
                why = "was told before"
            elif not tried or not is_settled(tried):
                why = "has no final evaluation"
            else:
                before.add(candidate_id)
                continue
            iteration, slot = candidate_id
            where = f"slot {slot} of batch {iteration}"
            raise _error("tells", [tell.number], f"{where} {why}")


def _check_numbers(table: str, numbers: Sequence[int], most: int) -> None:
    for want, number in enumerate(numbers):
        if number != want or want >= most:
            wanted = f"want {want}" if want < most else f"want {most} rows at most"
            raise _error(table, [number], f"it is out of order: {wanted}")


def _check_block(config: Config, table: str, key: Sequence[int], block: Block) -> None:
    length, most = len(block), config.space.max_layers
    if length > most:
        what = f"block has {length} layers: want {most} at most, as space.max_layers"
        raise _error(table, key, what)
    strange = {TYPES[layer.type].name for layer in block.layers} - {*config.space.types}
    if strange:
        what = f"block has {', '.join(sorted(strange))}, which space.types has not"
        raise _error(table, key, what)
    wiring = WIRINGS[block.wiring]
    if block.wiring and wiring not in config.space.wirings:
        raise _error(table, key, f"block is {wiring}, which space.wirings has not")


def _error(table: str, key: Sequence[Any], what: str) -> FactError:
    return FactError(f"{row_name(table, key)}: {what}")
