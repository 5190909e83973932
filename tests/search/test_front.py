"""The front of accuracy against cost, and its hypervolume, worked by hand."""

import numpy as np
import pytest

from bqnn.search.front import front_of, hypervolume


def test_a_front_by_hand() -> None:
    accuracy = [0.5, 0.9, np.nan, 0.6, 0.9, 0.6, 0.4]
    cost = [1, 4, 1, 2, 4, 3, 1]
    # Dominated: 5 (costs more than 3), 6 (as cheap as 0), and the second 0.9.
    assert front_of(accuracy, cost).tolist() == [0, 3, 1]
    assert front_of([np.nan], [1]).tolist() == []
    assert front_of([], []).tolist() == []


def test_a_hypervolume_is_the_mean_accuracy_over_limits() -> None:
    accuracy, cost = [0.5, 0.9, 0.6, 0.3], [1, 4, 2, 3]
    # 0.5 from 1 to 2, 0.6 from 2 to 4, 0.9 from 4 to 6.
    assert hypervolume(accuracy, cost, 1, 6) == pytest.approx((0.5 + 1.2 + 1.8) / 5)
    # Nothing within the limits from 0 to 1; what costs more than 3 is beyond them.
    assert hypervolume(accuracy, cost, 0, 3) == pytest.approx((0.5 + 0.6) / 3)
    assert hypervolume(accuracy, cost, 3, 5) == pytest.approx((0.6 + 0.9) / 2)
    assert hypervolume([], [], 0, 3) == 0.0
