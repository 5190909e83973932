"""The front of accuracy against cost, and its hypervolume, worked by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_two_costs_by_hand() -> None:
    accuracy = [0.5, 0.9, np.nan, 0.6, 0.9, 0.5, 0.4]
    costs = [[1, 4, 0, 2, 4, 2, 2], [3, 2, 0, 1, 2, 1, 4]]
    # Dominated: the second 0.9, 5 by 3, and 6 by all others.
    assert front_of(accuracy, costs).tolist() == [0, 3, 1]
    # Limits on the second from 0 to 4: 0.5 from 3 on; 0.6 from 1 on; 0.9 from 2 on.
    slabs = [0.5 * 1, 0.6 * 3, 0.6 * 1 + 0.9 * 2]
    # Limits on the first from 0 to 5: these from 1, 2 and 4 on.
    volume = slabs[0] * 1 + slabs[1] * 2 + slabs[2] * 1
    found = hypervolume(accuracy, costs, [0, 0], [5, 4])
    assert found == pytest.approx(volume / 20)


ROW = st.tuples(st.integers(0, 9), st.integers(-1, 4), st.integers(-1, 4))


@given(st.lists(ROW, max_size=8))
def test_two_costs_are_what_limits_one_by_one_give(rows: list[tuple[int, ...]]) -> None:
    """Between whole numbers no block comes within a limit: 9 limits stand for all."""
    accuracy, *costs = np.array(rows, float).reshape(-1, 3).T
    best = [
        max((a for a, *cost in rows if cost[0] <= x and cost[1] <= y), default=0)
        for x, y in itertools.product(range(3), repeat=2)
    ]
    found = hypervolume(accuracy, costs, (0, 0), (3, 3))
    assert found == pytest.approx(np.mean(best))
    front = front_of(accuracy, costs).tolist()
    for index, (a, x, y) in enumerate(rows):
        as_good = [
            i for i, (b, u, v) in enumerate(rows) if b >= a and u <= x and v <= y
        ]
        assert (index in front) == all(
            rows[i] == rows[index] and i >= index for i in as_good
        )
