"""Classification metrics: pure functions of logits `[N, K]` and labels `[N]`, in NumPy.

Logits are finite, and labels are integers from 0 to K - 1. All is computed in float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Labels = NDArray[np.int32]

# Of the calibration error: as many as Guo et al., 2017, have.
BINS = 15


class ClassMetrics(NamedTuple):
    """How well each class is recognised.

    Attributes:
      images: of the class, `[K]`.
      recall: the part of them that is recognised, the accuracy of the class; NaN if
        there are none, `[K]`.
      precision: the part of the images taken for the class that are of it; NaN if none
        is taken for it, `[K]`.
      f1: harmonic mean of recall and precision; NaN if there are neither, `[K]`.
    """

    images: NDArray[np.int64]
    recall: Floats
    precision: Floats
    f1: Floats


class Metrics(NamedTuple):
    """All that is measured.

    Attributes:
      top1: part of the images whose likeliest class is theirs.
      top5: part whose class is among the five likeliest; None for five classes or less.
      loss: mean cross-entropy, in nats.
      calibration_error: see `calibration_error`.
      confusion: images by class and by the class they are taken for, `[K, K]`.
      classes: how well each class is recognised.
    """

    top1: float
    top5: float | None
    loss: float
    calibration_error: float
    confusion: NDArray[np.int64]
    classes: ClassMetrics


def metrics(logits: Logits, labels: Labels) -> Metrics:
    """Measure all.

    Args:
      logits: of the images, `[N, K]`.
      labels: their classes, `[N]`.

    Raises:
      ValueError: if there are no images, or the shapes do not fit.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits have shape {logits.shape} and labels {labels.shape}: want [N, K] "
            "and [N], with N at least 1"
        )
    confusion = confusion_matrix(logits, labels)
    return Metrics(
        top_accuracy(logits, labels, 1),
        top_accuracy(logits, labels, 5) if logits.shape[1] > 5 else None,
        cross_entropy(logits, labels),
        calibration_error(logits, labels),
        confusion,
        class_metrics(confusion),
    )


def top_accuracy(logits: Logits, labels: Labels, k: int) -> float:
    """Return the part of the images whose class is among the `k` likeliest.

    Of equal logits the first goes before, as with `argmax`.

    Args:
      logits: of the images, `[N, K]`.
      labels: their classes, `[N]`.
      k: how many guesses there are.
    """
    own = _of_labels(logits, labels)[:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    rank = np.sum((logits > own) | ((logits == own) & earlier), axis=1)
    return float(np.mean(rank < k))


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Return the mean of -log softmax(logits)[label], in nats.

    Args:
      logits: of the images, `[N, K]`.
      labels: their classes, `[N]`.
    """
    return float(-np.mean(_of_labels(_log_softmax(logits), labels)))


def calibration_error(logits: Logits, labels: Labels, bins: int = BINS) -> float:
    """Return the expected calibration error.

    Images are put in bins by confidence, the probability of the likeliest class. The
    error is the mean, weighted by images, of the distance between a bin's accuracy and
    its mean confidence (Guo et al., *On calibration of modern neural networks*, 2017).

    Args:
      logits: of the images, `[N, K]`.
      labels: their classes, `[N]`.
      bins: of equal width; bin m of M holds confidences in ((m - 1) / M, m / M].
    """
    confidence = np.exp(_log_softmax(logits).max(axis=1))
    correct = np.argmax(logits, axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    # n (accuracy - confidence) of each bin is the sum over its images.
    distances = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(distances).sum() / len(labels))


def confusion_matrix(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """Count images by class (row) and by the class they are taken for (column).

    Args:
      logits: of the images, `[N, K]`.
      labels: their classes, `[N]`.

    Returns:
      The counts, `[K, K]`.
    """
    classes = logits.shape[1]
    cells = labels.astype(np.int64) * classes + np.argmax(logits, axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_metrics(confusion: NDArray[np.int64]) -> ClassMetrics:
    """Measure each class.

    Args:
      confusion: images by class and by the class they are taken for, `[K, K]`.
    """
    hits = np.diag(confusion)
    count, taken = confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassMetrics(
        count,
        _ratio(hits, count),
        _ratio(hits, taken),
        _ratio(2 * hits, count + taken),
    )


def _log_softmax(logits: Logits) -> Floats:
    """Return the logarithms of the probabilities, `[N, K]`."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _of_labels(values: NDArray[np.floating], labels: Labels) -> NDArray[np.floating]:
    """Take of every row the value of its label, `[N]`."""
    return values[np.arange(len(labels)), labels]


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    result = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=result, where=whole > 0)
