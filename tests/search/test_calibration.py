"""The fit of final accuracy: worked by hand, and what it cannot be led to say."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqnn.errors import DataError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.search import calibration
from bqnn.search.calibration import FITTED, TERMS, fit, foretell, to_train
from bqnn.search.reward import learned_reward
from bqnn.space.nsc import parse
from tests.helpers.fuzzing import attempt, changed_json

EARLY = np.array([0.1, 0.3, 0.2, 0.4])
SIZE = np.array([1.0, 1.0, 2.0, 2.0])
FINAL = np.array([0.5, 0.7, 0.9, 0.7])


def _random(seed: int = 0, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal((0.6, 11), (0.05, 1.0), (count, 2))
    return values, values @ [0.4, 0.03] + rng.normal(0, 0.01, count)


def test_a_fit_worked_by_hand() -> None:
    # Of one standardised term: (x.y + strength * worth) / (N + strength).
    # Accuracy is believed to be worth a half, as much as four blocks.
    found = fit(("accuracy",), EARLY[:, None], FINAL)
    slope = (4 * _correlation(EARLY, FINAL) + 4 * 0.5) / (4 + 4)
    assert found.weights == pytest.approx([slope * FINAL.std() / EARLY.std()])
    # Student's t of 3 degrees of freedom: 3.1824.
    x, y = _standard(EARLY), _standard(FINAL)
    left = ((y - slope * x) ** 2).sum() + 4 * (slope - 0.5) ** 2
    half = 3.1824 * math.sqrt(left / 3 / 8) * FINAL.std() / EARLY.std()
    assert found.high[0] - found.weights[0] == pytest.approx(half, rel=1e-4)
    assert found.weights[0] - found.low[0] == pytest.approx(half, rel=1e-4)
    # A line through the means.
    assert foretell(found, np.array([EARLY.mean()])) == pytest.approx(FINAL.mean())
    # Another term is believed to be worth nothing, as much as one block.
    size = fit(("log_params",), SIZE[:, None], FINAL)
    slope = 4 * _correlation(SIZE, FINAL) / (4 + 1)
    assert size.weights == pytest.approx([slope * FINAL.std() / SIZE.std()])


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def test_a_worse_start_is_never_rewarded() -> None:
    values, final = _random(count=40)
    worse = final - 2 * values[:, 0]
    found = fit(FITTED, values, worse)
    assert found.weights[0] == 0 and found.high[0] < 0
    assert foretell(found, values + [0.1, 0]) == pytest.approx(foretell(found, values))
    # The other weight is what it would be if early accuracy had none.
    alone = fit(("log_params",), values[:, 1:], worse)
    assert found.weights[1] == pytest.approx(alone.weights[0])


def test_many_blocks_outweigh_the_belief() -> None:
    values, final = _random(count=2000)
    found = fit(FITTED, values, final)
    assert found.weights == pytest.approx([0.4, 0.03], rel=0.05)
    truth = zip(found.low, (0.4, 0.03), found.high, strict=True)
    assert all(low < weight < high for low, weight, high in truth)


def test_a_fit_depends_on_neither_order_nor_unit() -> None:
    values, final = _random()
    found = fit(FITTED, values, final)
    assert fit(FITTED, values, final) == found  # to the bit
    shuffled = fit(FITTED, values[::-1], final[::-1])
    assert shuffled.weights == pytest.approx(found.weights)
    # log2 of the parameters instead of ln, accuracies in per cent.
    scaled = fit(FITTED, values * [100, 1 / math.log(2)], final * 100)
    want = found.weights[0], found.weights[1] * 100 * math.log(2)
    assert scaled.weights == pytest.approx(want)


def test_what_does_not_vary_tells_nothing() -> None:
    values, final = _random()
    constant = values.copy()
    constant[:, 1] = 11.0 + 1e-13 * np.arange(12)
    found = fit(FITTED, constant, final)
    alone = fit(("accuracy",), values[:, :1], final)
    assert found.weights == pytest.approx([alone.weights[0], 0.0])
    # All equal in the end: no weight is large.
    equal = fit(FITTED, values, np.full(12, 0.9))
    assert foretell(equal, values) == pytest.approx(0.9 * np.ones(12), abs=1.0)
    nothing = fit(FITTED, np.ones((3, 2)), np.ones(3))
    assert np.isfinite([*nothing.weights, *nothing.low, *nothing.high]).all()


def test_too_few_blocks_are_refused() -> None:
    values, final = _random(count=2)
    with pytest.raises(SearchError, match="2 blocks are trained in full: a fit wants"):
        fit(FITTED, values, final)


def test_a_block_is_foretold_by_the_others() -> None:
    values, final = _random()
    foretold = calibration.leave_one_out(FITTED, values, final)
    rest = fit(FITTED, values[1:], final[1:])
    assert foretold[0] == foretell(rest, values[0])
    final[0] = 0.0
    assert calibration.leave_one_out(FITTED, values, final)[0] == foretold[0]


def test_blocks_to_train_are_spread_over_size_among_the_better_half() -> None:
    accuracy = np.array([0.9, 0.1, 0.8, 0.7, 0.2, 0.6, 0.3, 0.4])
    params = np.array([30.0, 1.0, 10.0, 40.0, 2.0, 20.0, 3.0, 4.0])
    assert to_train(accuracy, params, 4) == [2, 5, 0, 3]
    assert to_train(accuracy, params, 2) == [2, 3]
    assert to_train(accuracy, params, 3) == [2, 5, 3]
    assert to_train(accuracy, params, 1) == [2]
    # More than half are wanted: the best of the others too.
    assert to_train(accuracy, params, 5) == [7, 2, 5, 0, 3]
    assert to_train(np.ones(4), np.ones(4), 2) == [0, 1]  # ties: the first


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e9)), min_size=1), st.data())
def test_as_many_different_blocks_are_chosen_as_are_wanted(
    blocks: list[tuple[float, float]], data: st.DataObject
) -> None:
    accuracy, params = np.array(blocks).T
    count = data.draw(st.integers(1, len(blocks)))
    chosen = to_train(accuracy, params, count)
    assert len(set(chosen)) == count
    assert sorted(params[chosen]) == params[chosen].tolist()


def _candidate(params: int) -> Candidate:
    return Candidate(0, 0, parse("1,1,3,0,0"), "", 0, 100, 6, 5, params, 0)


def test_the_learned_reward_is_what_is_foretold() -> None:
    candidate = _candidate(1000)
    evaluation = Evaluation(Status.OK, (0.2, 0.65))
    values = calibration.values_of([*TERMS], candidate, evaluation)
    want = 0.65, math.log(1000), math.log(100), math.log(1.2), 0.45
    assert values == pytest.approx(want)
    fitted = calibration.Fit(FITTED, 0.1, (0.5, 0.02), (0, 0), (1, 1), 8)
    reward = learned_reward(fitted, 10)
    assert reward(candidate, evaluation) == pytest.approx(
        0.1 + 0.5 * 0.65 + 0.02 * math.log(1000)
    )
    # A single epoch has no slope. Size is worth nothing to what was not trained.
    once = Evaluation(Status.OK, (0.3,))
    assert calibration.values_of(("slope",), candidate, once) == [0.0]
    refused = Evaluation(Status.OVER_BUDGET)
    assert reward(_candidate(10**12), refused) == 0.1


def test_a_fit_survives_its_file(tmp_path: Path) -> None:
    found, file = fit(FITTED, *_random()), tmp_path / "calibration.json"
    file.write_text(json.dumps({**calibration.to_json(found), "more": 1}))
    assert calibration.read_fit(file) == found


@settings(max_examples=40)
@given(st.data())
def test_one_change_of_a_file_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.json"
    value = calibration.to_json(fit(FITTED, *_random()))
    file.write_text(changed_json(data.draw, value), encoding="utf-8")
    attempt(lambda: str(calibration.read_fit(file)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format is 2: want an integer from 1 to 1"),
        ({"terms": {"luck": {}}}, "is 'luck': want one of accuracy, log_params"),
        ({"intercept": math.nan}, "intercept is nan: want a number"),
        ({"terms": {"accuracy": {"weight": 1}}}, "has no low"),
        ({"intercept": "0"}, "intercept is '0': want a number"),
        ({"blocks": 2}, "blocks is 2: want an integer from 3"),
        ({"terms": [1]}, "terms is [1]: want a weight by term"),
    ],
)
def test_a_file_that_is_no_fit_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(
        json.dumps({**calibration.to_json(fit(FITTED, *_random())), **change})
    )
    with pytest.raises(DataError) as caught:
        calibration.read_fit(file)
    assert str(caught.value).startswith(f"{file} is no calibration: ")
    assert message in str(caught.value)


def test_no_file_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        calibration.read_fit(tmp_path / "none")
    (tmp_path / "text").write_text("{")
    with pytest.raises(DataError, match="is no calibration"):
        calibration.read_fit(tmp_path / "text")
