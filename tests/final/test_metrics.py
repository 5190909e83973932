"""Metrics of logits, worked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bqnn.final import metrics
from bqnn.final.metrics import Labels, Logits


def _logits(*probabilities: tuple[float, ...]) -> Logits:
    return np.log(np.array(probabilities, np.float64)).astype(np.float32)


def _labels(*values: int) -> Labels:
    return np.array(values, np.int32)


def _random(images: int, classes: int) -> tuple[Logits, Labels]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(images, classes)).astype(np.float32)
    return logits, rng.integers(0, classes, images).astype(np.int32)


@pytest.mark.parametrize(("k", "want"), [(1, 1 / 4), (2, 3 / 4), (3, 1)])
def test_top_accuracy_counts_the_likeliest_classes(k: int, want: float) -> None:
    logits = _logits((0.5, 0.3, 0.2), (0.5, 0.3, 0.2), (0.5, 0.3, 0.2), (0.1, 0.7, 0.2))
    assert metrics.top_accuracy(logits, _labels(0, 1, 2, 2), k) == want


def test_of_equal_logits_the_first_goes_before() -> None:
    logits = np.zeros((6, 6), np.float32)
    labels = np.arange(6, dtype=np.int32)
    assert metrics.top_accuracy(logits, labels, 1) == 1 / 6
    assert metrics.top_accuracy(logits, labels, 5) == 5 / 6


def test_cross_entropy_is_minus_the_mean_logarithm() -> None:
    logits = _logits((0.5, 0.5), (0.25, 0.75))
    want = (np.log(2) + np.log(4)) / 2
    assert metrics.cross_entropy(logits, _labels(1, 0)) == pytest.approx(want)
    moved = logits + np.float32(100)
    assert metrics.cross_entropy(moved, _labels(1, 0)) == pytest.approx(want, 1e-4)


def test_cross_entropy_of_large_logits_is_finite() -> None:
    logits = np.array([[1e4, 0]], np.float32)
    assert metrics.cross_entropy(logits, _labels(1)) == pytest.approx(1e4)
    assert metrics.cross_entropy(logits, _labels(0)) == 0


def test_calibration_error_compares_accuracy_and_confidence() -> None:
    logits = _logits((0.9, 0.1), (0.9, 0.1), (0.35, 0.65), (0.35, 0.65))
    # One of two is right at 90 %, two of two at 65 %.
    want = 2 / 4 * (0.9 - 0.5) + 2 / 4 * (1 - 0.65)
    found = metrics.calibration_error(logits, _labels(0, 1, 1, 1))
    assert found == pytest.approx(want, 1e-6)


def test_a_bin_holds_its_upper_edge() -> None:
    logits = _logits((0.5, 0.5), (0.75, 0.25))
    found = metrics.calibration_error(logits, _labels(0, 1), bins=2)
    assert found == pytest.approx((0.5 + 0.75) / 2)


def test_certainty_is_well_calibrated_when_right() -> None:
    logits = np.array([[200, 0, 0], [0, 200, 0]], np.float32)
    assert metrics.calibration_error(logits, _labels(0, 1)) == 0
    assert metrics.calibration_error(logits, _labels(1, 0)) == 1


def test_rows_of_the_confusion_are_classes() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    found = metrics.confusion_matrix(logits, _labels(0, 0, 1, 1))
    np.testing.assert_array_equal(found, [[1, 1, 0], [0, 1, 1], [0, 0, 0]])


def test_classes_are_measured_apart() -> None:
    confusion = np.array([[2, 1, 1, 0], [0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = metrics.class_metrics(confusion)
    nan = np.nan
    np.testing.assert_array_equal(found.images, [4, 3, 0, 0])
    np.testing.assert_allclose(found.recall, [2 / 4, 1, nan, nan])
    np.testing.assert_allclose(found.precision, [1, 3 / 4, 0, nan])
    np.testing.assert_allclose(found.f1, [2 / 3, 6 / 7, 0, nan])


def test_scikit_learn_agrees() -> None:
    logits, labels = _random(500, 7)
    found = metrics.metrics(logits, labels)
    guesses = logits.argmax(1)
    precision, recall, f1, count = sklearn_metrics.precision_recall_fscore_support(
        labels, guesses
    )
    for ours, theirs in zip(found.classes, (count, recall, precision, f1), strict=True):
        np.testing.assert_allclose(ours, theirs)
    confusion = sklearn_metrics.confusion_matrix(labels, guesses)
    np.testing.assert_array_equal(found.confusion, confusion)
    odds = np.exp(logits.astype(np.float64))
    loss = sklearn_metrics.log_loss(labels, odds / odds.sum(1, keepdims=True))
    assert found.loss == pytest.approx(loss)
    assert found.top1 == (guesses == labels).mean()
    top5 = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5)
    assert found.top5 == pytest.approx(top5)


def test_five_of_five_classes_are_no_measure() -> None:
    assert metrics.metrics(*_random(10, 5)).top5 is None
    assert metrics.metrics(*_random(10, 6)).top5 is not None


@pytest.mark.parametrize("shape", [(0, 3), (4, 3), (3,)])
def test_shapes_that_do_not_fit_are_quoted(shape: tuple[int, ...]) -> None:
    labels = np.zeros(shape[0] if shape[0] != 4 else 3, np.int32)
    with pytest.raises(ValueError, match="logits have shape"):
        metrics.metrics(np.zeros(shape, np.float32), labels)
