"""Seconds of a search from those of a few candidates, by hand-worked numbers."""

import numpy as np
import pytest

from bqnn.forecast.forecast import fit, makespan, stretched

FEATURES = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
SECONDS = np.array([[3.0, 1.0], [2.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("workers", "lag", "want"),
    [
        (1, 0, 8.0),  # one worker never waits
        (1, 2, 8.0),
        (2, 0, 6.0),  # 3, then 2, then 1: every batch waits for the one before it
        (2, 1, 4.0),  # 0-3, 3-4 and 0-1, 1-3, 3-4
        (9, 0, 6.0),
        (9, 1, 4.0),  # the last batch is asked when the first is told, after 3
        (9, 2, 3.0),
    ],
)
def test_workers_wait_as_the_lag_says(workers: int, lag: int, want: float) -> None:
    assert makespan(SECONDS, workers, lag) == want


def test_a_search_without_trainings_takes_no_time() -> None:
    assert makespan(np.zeros((3, 2)), 2, 1) == 0.0


def test_the_first_batches_stand_for_themselves_alone() -> None:
    want = [0, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    np.testing.assert_array_equal(stretched(4, 10, first=2), want)
    np.testing.assert_array_equal(stretched(4, 4, first=2), range(4))
    np.testing.assert_array_equal(stretched(1, 3, first=2), [0, 0, 0])


def test_seconds_that_are_a_sum_of_features_are_foretold_exactly() -> None:
    seconds = FEATURES @ [[0.0, 2.0], [3.0, 1.0]]
    np.testing.assert_allclose(fit(FEATURES, seconds), [[0, 2], [3, 1]], atol=1e-9)


def test_no_feature_takes_time_away_and_the_sum_is_right() -> None:
    # About 3.4 for the second feature less 1.
    seconds = np.array([[3.0], [4.0], [13.0]])
    coefficients = fit(FEATURES, seconds)
    assert coefficients.min() >= 0
    assert (FEATURES @ coefficients).sum() == pytest.approx(20)
