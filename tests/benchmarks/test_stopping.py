"""Stopping rules by hand, on tiny curves, and the program on a journal."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import stopping, stopping_rules
from benchmarks.stopping import Search
from benchmarks.stopping_forecasts import (
    Curve,
    extrapolate,
    mean_gain,
    no_gain,
    power_law,
    ridge,
)
from benchmarks.stopping_rules import Judge, forecasts, rungs, telling, whole
from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Rung, Status
from bqnn.search import journal
from bqnn.search.history import Ask, Batch, Run
from bqnn.space.nsc import canonical_hash, parse
from tests.helpers.programs import answers
from tests.helpers.searches import SPEC, tiny_config

BLOCK = parse("1,1,3,0,0")


def _candidate(name: str, params: int = 1000) -> Candidate:
    return Candidate(0, 0, BLOCK, name, 0, 5000, 2, 3, params, 5000)


def _batch(*curves: Curve, name: str = "") -> Batch:
    """Candidates of one size, whole or stopped."""
    named = ((_candidate(f"{name}{n}"), curve) for n, curve in enumerate(curves))
    return [(candidate, Evaluation(Status.OK, curve)) for candidate, curve in named]


NEW = _candidate("new")

# Eight whole curves of three epochs, which gain 0.2 and 0.1.
EIGHT = _batch(*((n / 10, n / 10 + 0.2, n / 10 + 0.3) for n in range(8)))


def test_nobody_is_stopped_without_a_rule_or_before_anything_was_told() -> None:
    judges = [
        whole([EIGHT], 3),
        rungs((1, 2), 2.0)([], 3),
        forecasts(ridge, (1,))([], 3),
    ]
    few = [EIGHT[:7]]
    judges.append(forecasts(mean_gain, (1, 2))(few, 3))
    for judge in judges:
        assert judge(NEW, (0.0,)) is None


def test_rungs_by_hand() -> None:
    # Of nine with itself, the best three: the third best of eight has 0.5 at rung 1.
    judge = rungs((1, 2, 3), 3.0)([EIGHT], 3)
    assert judge(NEW, (0.49,)) == pytest.approx(0.79)
    assert judge(NEW, (0.5,)) is None
    assert judge(NEW, (0.5, 0.69)) == pytest.approx(0.79)
    assert judge(NEW, (0.5, 0.7)) is None
    # Among the last batch alone, the better one of two goes on: it is at 0.2.
    late = [EIGHT, _batch((0.2, 0.2, 0.9), name="late")]
    windowed = rungs((1,), 2.0, window=1)(late, 3)
    assert windowed(NEW, (0.2,)) is None
    assert windowed(NEW, (0.1,)) == pytest.approx(0.8)


def test_what_a_rung_tells_can_be_what_another_forecast_says() -> None:
    judge = telling(no_gain, (1,), rungs((1, 2), 3.0))([EIGHT], 3)
    assert judge(NEW, (0.49,)) == 0.49
    assert judge(NEW, (0.5,)) is None
    assert judge(NEW, (0.5, 0.69)) == pytest.approx(0.79)


def test_a_forecast_stops_who_stays_below_the_bar() -> None:
    # The best end is 1.0, the third best 0.8.
    best = forecasts(mean_gain, (1, 2))([EIGHT], 3)
    assert best(NEW, (0.69,)) == pytest.approx(0.99)
    assert best(NEW, (0.71,)) is None
    assert best(NEW, (0.71, 0.89)) == pytest.approx(0.99)
    third = forecasts(mean_gain, (1,), eta=3.0)([EIGHT], 3)
    assert third(NEW, (0.49,)) == pytest.approx(0.79)
    assert third(NEW, (0.51,)) is None
    assert third(NEW, (0.51, 0.0)) is None
    # With two that stopped, of eleven three: the ends 1.0, 0.95 and 0.9 set the bar.
    more = [EIGHT, _batch((0.65,), (0.0,), name="stopped")]
    stopped = forecasts(mean_gain, (1,), eta=3.0)(more, 3)
    assert stopped(NEW, (0.59,)) == pytest.approx(0.89)
    assert stopped(NEW, (0.61,)) is None


def test_a_margin_counts_in_errors() -> None:
    # Gains of 0.2 and 0.4: 0.3 on average, with a standard deviation of 0.1.
    curves = [(0.1, 0.3), (0.1, 0.5)] * 4
    told = [_batch(*curves)]
    assert mean_gain(told[0], 1).error == pytest.approx(0.1)
    strict, lenient = (forecasts(mean_gain, (1,), margin=m)(told, 2) for m in (0, 1))
    assert strict(NEW, (0.15,)) == pytest.approx(0.45)
    assert lenient(NEW, (0.15,)) is None
    assert lenient(NEW, (0.05,)) == pytest.approx(0.35)


def test_a_power_law_is_extrapolated() -> None:
    # 0.8 - 0.4 / t, 0.8 - 0.4 / t^2, and one that falls: its mean.
    curves = np.array([[0.4, 0.6, 2 / 3], [0.4, 0.7, 0.8 - 0.4 / 9], [0.6, 0.5, 0.4]])
    np.testing.assert_allclose(extrapolate(curves, 4), [0.7, 0.775, 0.5])
    # Two points do not tell the exponent: 1 is taken; an accuracy is at most 1.
    np.testing.assert_allclose(
        extrapolate(np.array([[0.4, 0.6], [0.4, 0.9]]), 4), [0.7, 1]
    )
    full = _batch((0.4, 0.6, 0.0, 0.7), (0.4, 0.6, 0.0, 0.8), name="x")
    forecast = power_law(full, 2)
    assert forecast.end(NEW, (0.4, 0.6)) == pytest.approx(0.7)
    assert forecast.error == pytest.approx(math.sqrt(0.01 / 2))


def test_ridge_regression_by_hand() -> None:
    # Standardised, the accuracies are -1 and 1, the ends 0.2 around 0.6: of that,
    # 8 / (8 + 1) is believed.
    forecast = ridge(_batch(*[(0.2, 0.4), (0.6, 0.8)] * 4), 1)
    assert forecast.end(NEW, (0.6,)) == pytest.approx(0.6 + 0.2 * 8 / 9)
    assert forecast.end(NEW, (0.4,)) == pytest.approx(0.6)
    # The residual, over 1 without the leverage of one curve: 1/8 + 1/9.
    assert forecast.error == pytest.approx(0.2 / 9 / (1 - 17 / 72))


def test_ridge_regression_knows_size() -> None:
    full = [
        (
            _candidate(f"{size}", round(math.exp(size))),
            Evaluation(Status.OK, (0.5, end)),
        )
        for size, end in enumerate((0.6, 0.7, 0.8, 0.9), 5)
    ]
    end = ridge(full, 1).end
    assert end(_candidate("small", 150), (0.5,)) < end(_candidate("big", 2900), (0.5,))


SEARCH = Search(
    recipe=None,
    batches=[
        _batch((0.2, 0.5), (0.1, 0.4), name="a"),
        _batch((0.1, 0.9), (0.3, 0.6), name="b"),
        [*_batch((0.2, 0.5), name="a"), *_batch((0.1, 0.7), name="c")],
    ],
    size=2,
    lag=0,
    last=2,
)


def _below(cutoff: float, seen: list[int]) -> stopping_rules.Rule:
    """Stop below an accuracy once anything was told, and foretell 0.45."""

    def rule(told: Sequence[Batch], last: int) -> Judge:
        seen.append(len(told))
        return lambda _, curve: 0.45 if told and curve[-1] < cutoff else None

    return rule


def test_a_replay_by_hand() -> None:
    seen: list[int] = []
    # Five blocks: a0 comes again, and costs nothing. b0, the best, and c0 stop.
    found = stopping.replay(SEARCH, _below(0.2, seen))
    assert seen == [0, 1, 2]
    assert found[:3] == pytest.approx((0.8, 0.0, 0.3))
    assert math.isnan(found.reach)
    # Told are 0.5, 0.4, 0.45, 0.6, 0.45; ends are 0.5, 0.4, 0.9, 0.6, 0.7. Their ranks
    # less 3 are 1, -2, -0.5, 2, -0.5 and -1, -2, 2, 0, 1.
    assert found.spearman == pytest.approx(1.5 / math.sqrt(9.5 * 10))
    # Told one batch later, b0 is trained whole: it ends after 6 of 6 epochs.
    late = stopping.replay(SEARCH._replace(lag=1), _below(0.2, seen))
    assert seen == [0, 1, 2, 0, 0, 1]
    assert late[:3] == (0.9, 1.0, 0.0)
    assert late.reach == 1.0
    # What a stop saves before the best: a rule that stops all but b0.
    first = stopping.replay(
        SEARCH, lambda told, last: lambda c, _: None if c.hash == "b0" else 0.0
    )
    assert first.reach == pytest.approx((1 + 1 + 2) / 6)


def test_rows_are_means_over_replays() -> None:
    rules = {"a": _below(0.2, []), "all": whole}
    searches = [SEARCH, SEARCH._replace(lag=1)]
    one, every = stopping.measure(searches, rules)
    assert one.means[:3] == pytest.approx((0.85, 0.5, 0.15))
    # The best is reached in the second search alone.
    assert one.means.reach == 1.0
    # Wilson's interval of one in two, and of two in two.
    assert (one.lows.kept, one.highs.kept) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert every.means == pytest.approx((1, 1, 0, 1, 1))
    assert every.lows.kept == pytest.approx(2 / (2 + 1.96**2))


def test_random_orders_are_drawn_from_all_blocks() -> None:
    first, second = stopping.in_random_order([SEARCH, SEARCH], 2)
    hashes = [
        [c.hash for batch in s.batches for c, _ in batch] for s in (first, second)
    ]
    assert sorted(hashes[0]) == sorted(hashes[1]) == ["a0", "a1", "b0", "b1", "c0"]
    assert hashes[0] != hashes[1]
    assert [len(batch) for batch in first.batches] == [2, 2, 1]


def _searched(
    folder: Path, fingerprint: str = "f", rungs: tuple[Rung, ...] = ()
) -> Path:
    """Write the journal of a search of two blocks, as far as it is read."""
    epochs = tuple(rung.epoch for rung in rungs)
    config = tiny_config(train={"epochs": 2, "rungs": epochs}, search={"batch": 2})
    blocks = [parse(text) for text in ("1,1,3,0,0", "1,1,5,0,0")]
    with journal.create_or_open(folder) as facts:
        facts.start(Run(config, SPEC, fingerprint, {}))
        candidates = tuple(
            dataclasses.replace(
                NEW, slot=slot, block=block, hash=canonical_hash(block), rungs=rungs
            )
            for slot, block in enumerate(blocks)
        )
        facts.add_ask(Ask(0, 0, 1.0, candidates))
        for candidate, end in zip(candidates, (0.3, 0.4), strict=True):
            facts.add_evaluation(candidate, 1, Evaluation(Status.OK, (0.2, end)))
    return folder


def test_the_program_replays_a_search(tmp_path: Path) -> None:
    given = _searched(tmp_path / "whole")
    other = _searched(tmp_path / "other", "of other images")
    stopped = _searched(tmp_path / "stopped", "f", (Rung(1, 0.0, 0.0),))
    (read,) = stopping.read([given])
    assert read[2:] == (2, 1, 2)
    curves = [evaluation.accuracy for _, evaluation in read.batches[0]]
    assert curves == [(0.2, 0.3), (0.2, 0.4)]
    with pytest.raises(SearchError, match=f"{other} has another recipe than {given}"):
        stopping.read([given, other])
    with pytest.raises(SearchError, match="stopped trainings: want a search without"):
        stopping.read([stopped])
    file = tmp_path / "bench.json"
    flag = f"--curves={given}"
    commands = [
        ("--parts=stopping", flag, "--draws=2", f"--json={file}"),
        ("--parts=stopping", flag, "--order=asked", "--lag=0"),
        ("--parts=stopping", flag, "--order=asked", "--draws=2"),
    ]
    drawn, asked, refused = answers("bench", commands)
    assert drawn.status == asked.status == 0, drawn.err + asked.err
    assert "2 random orders" in drawn.out and "1 searches as asked" in asked.out
    rows = json.loads(file.read_text())["stopping"]
    assert [row["rule"] for row in rows] == [*stopping_rules.RULES]
    assert all(row["mean"]["kept"] == 1 for row in rows)
    assert refused.status == 2
    assert refused.err.startswith("error: --draws has no effect without --parts=")
