"""Statistics of searches, against numbers worked by hand."""

import numpy as np
import pytest

from bqnn.compare.statistics import (
    Optimum,
    added,
    best_so_far,
    count_searches,
    evaluations_to,
    found,
    hypervolumes,
    summarize,
)
from bqnn.stats import mean

SEARCHES = count_searches(
    rewards=np.array([[0.2, 0.5, 0.5, 0.4], [0.3, 0.1, 0.2, 0.6]]),
    true_values=np.array([[0.9, 0.7, 0.8, 0.1], [0.4, 0.5, 0.6, 0.3]]),
    functions=np.array([[7, 5, 7, 5], [5, 5, 1, 2]], np.uint32),
    times=np.array([[1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 4.0, 8.0]]),
    log_costs=np.array([[1.0, 3.0, 2.0, 1.0], [2.0, 2.0, 2.0, 2.0]]),
)


def test_the_first_best_counts_and_its_true_worth_may_fall() -> None:
    expected = [[0.9, 0.7, 0.7, 0.7], [0.4, 0.4, 0.4, 0.3]]
    np.testing.assert_array_equal(best_so_far(SEARCHES), expected)


def test_the_true_values_of_a_front_are_averaged_over_limits() -> None:
    # From 1 to 5. The fourth is rewarded more than the first, for as little.
    expected = [
        [0.9, (2 * 0.9 + 2 * 0.7) / 4, (0.9 + 3 * 0.8) / 4, (0.1 + 3 * 0.8) / 4],
        [0.3, 0.3, 0.3, 0.225],
    ]
    np.testing.assert_allclose(hypervolumes(1.0, 5.0)(SEARCHES), expected)
    row = summarize("q", 4, SEARCHES, None, None, hypervolumes(1.0, 5.0))
    assert row.true_value.value == pytest.approx((0.625 + 0.225) / 2)


def test_what_was_trained_before_is_counted_once_and_costs_nothing() -> None:
    assert SEARCHES.trained.tolist() == [[1, 2, 2, 2], [1, 1, 2, 3]]
    assert SEARCHES.seconds.tolist() == [[1, 3, 3, 3], [1, 1, 5, 13]]
    row = summarize("q", 4, SEARCHES, None, None)
    assert (row.trained, row.seconds) == (2.5, 8)
    unknown = SEARCHES._replace(seconds=SEARCHES.seconds * np.nan)
    assert np.isnan(summarize("q", 4, unknown, None, None).seconds)


def test_what_is_trained_in_full_is_added_when_it_is() -> None:
    trained = added(SEARCHES.trained, [2, 9], np.array([[10.0, 5.0], [20.0, 0.0]]))
    # What comes after the last evaluation belongs to the search too.
    assert trained.tolist() == [[1, 12, 12, 17], [1, 21, 22, 23]]


def test_evaluations_to_a_target_by_hand() -> None:
    assert evaluations_to(SEARCHES.rewards, 0.5).tolist() == [2, 4]
    assert evaluations_to(SEARCHES.rewards, 0.55).tolist() == [np.inf, 4]
    assert found(SEARCHES, 0.6).tolist() == [0, 0, 0, 0.5]


def test_the_bootstrap_interval_of_a_normal_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    average, (low, high) = mean(values)
    assert average == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert high - average == pytest.approx(half, rel=0.1)
    assert average - low == pytest.approx(half, rel=0.1)
    lows = mean(np.stack([values, 2 * values], axis=1)).interval.low
    np.testing.assert_allclose(lows[1], 2 * lows[0])


def test_a_summary_by_hand() -> None:
    row = summarize("q", 4, SEARCHES, Optimum(0.6, 0.95, 0.55), target=0.55)
    assert row.true_value.value == pytest.approx(0.5)
    assert row.regret == pytest.approx(0.45)
    assert (row.needed, row.reached, row.found) == (np.inf, 0.5, 0.5)
    learnt = summarize("q", 4, SEARCHES, Optimum(None, 0.95, None), None)
    assert learnt == row._replace(needed=None, reached=None, found=None)
    unknown = summarize("q", 4, SEARCHES, None, None)
    assert (unknown.regret, unknown.needed, unknown.found) == (None, None, None)
