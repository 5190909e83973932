"""Seconds of a search from those of a few candidates, by hand-worked numbers."""

import numpy as np
import pytest

from bqnn.forecast import model

FEATURES = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])


def test_seconds_that_are_a_sum_of_features_are_foretold_exactly() -> None:
    seconds = FEATURES @ [[0.0, 2.0], [3.0, 1.0]]
    coefficients = model.fit(FEATURES, seconds)
    np.testing.assert_allclose(coefficients, [[0, 2], [3, 1]], atol=1e-12)
    one, wanted = FEATURES[:, 1:], np.array([[10.0, 30.0]])
    low, high = model.relative_interval(one, one * [2, 3], wanted)
    assert (low, high) == pytest.approx((1, 1))


def test_no_feature_takes_time_away_and_the_sum_is_right() -> None:
    seconds = np.array(
        [[3.0], [4.0], [13.0]]
    )  # about 3.4 for the second feature less 1
    coefficients = model.fit(FEATURES, seconds)
    assert coefficients.min() >= 0
    assert (FEATURES @ coefficients).sum() == pytest.approx(20)


def test_the_interval_is_around_what_is_foretold() -> None:
    seconds = np.array([[1.0], [4.0], [4.0]])
    low, high = model.relative_interval(FEATURES, seconds, np.array([[1.0], [2.0]]))
    assert 0 < low < 1 < high


def test_where_nothing_is_left_nothing_is_uncertain() -> None:
    assert model.relative_interval(FEATURES, FEATURES, np.zeros((2, 2))) == (1, 1)
