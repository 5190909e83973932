"""Metrics of classification: pure functions of logits and labels, in NumPy.

Axes: N images, K classes. Logits are finite, float32 `[N, K]`; labels are from 0 to
K - 1, int32 `[N]`. All is computed in float64. scikit-learn has most of these metrics,
but takes two seconds to import; tests compare with it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Labels = NDArray[np.int32]

# Number of bins of the calibration error, as in Guo et al., 2017.
BINS = 15


class ClassMetrics(NamedTuple):
    """Metrics of each class. NaN is what 0 images leave undefined.

    Attributes:
      images: number of images of the class, int64 `[K]`.
      recall: fraction of the images of the class that are predicted to be of it: the
        accuracy of the class, float64 `[K]`.
      precision: fraction of the images predicted to be of the class that are of it,
        float64 `[K]`.
      f1: harmonic mean of recall and precision, float64 `[K]`.
    """

    images: NDArray[np.int64]
    recall: Floats
    precision: Floats
    f1: Floats


class Metrics(NamedTuple):
    """Metrics of a network.

    Attributes:
      top1: fraction of images whose class has the largest logit.
      top5: fraction of images whose class has one of the five largest logits; None for
        five classes or fewer.
      loss: mean cross-entropy, in nats.
      calibration_error: expected calibration error.
      confusion: number of images by class and predicted class, int64 `[K, K]`.
      classes: metrics of each class.
    """

    top1: float
    top5: float | None
    loss: float
    calibration_error: float
    confusion: NDArray[np.int64]
    classes: ClassMetrics


def metrics(logits: Logits, labels: Labels) -> Metrics:
    """Compute all metrics.

    Args:
      logits: logits of the images, float32 `[N, K]`.
      labels: classes of the images, int32 `[N]`.

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
    """Return the fraction of images whose class has one of the `k` largest logits.

    Of equal logits the first counts as larger, as in `argmax`.

    Args:
      logits: logits of the images, float32 `[N, K]`.
      labels: classes of the images, int32 `[N]`.
      k: number of logits.
    """
    own = _at_labels(logits, labels)[:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = np.sum((logits > own) | ((logits == own) & before), axis=1)
    return float(np.mean(rank < k))


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Return the mean of -log softmax(logits)[label], in nats.

    Args:
      logits: logits of the images, float32 `[N, K]`.
      labels: classes of the images, int32 `[N]`.
    """
    return float(-np.mean(_at_labels(_log_softmax(logits), labels)))


def calibration_error(logits: Logits, labels: Labels, bins: int = BINS) -> float:
    """Return the expected calibration error.

    Bins divide images by confidence, the largest probability. The error is the mean
    over bins, weighted by their images, of |accuracy - mean confidence| (Guo et al.,
    *On calibration of modern neural networks*, 2017).

    Args:
      logits: logits of the images, float32 `[N, K]`.
      labels: classes of the images, int32 `[N]`.
      bins: number of bins, all of one width; each includes its upper end only.
    """
    confidence = np.exp(_log_softmax(logits).max(axis=1))
    correct = np.argmax(logits, axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    # Accuracy - mean confidence of a bin, times its number of images.
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def confusion_matrix(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """Count images by class (row) and predicted class (column).

    Args:
      logits: logits of the images, float32 `[N, K]`.
      labels: classes of the images, int32 `[N]`.

    Returns:
      Number of images, int64 `[K, K]`.
    """
    classes = logits.shape[1]
    cells = labels.astype(np.int64) * classes + np.argmax(logits, axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_metrics(confusion: NDArray[np.int64]) -> ClassMetrics:
    """Compute the metrics of each class.

    Args:
      confusion: number of images by class and predicted class, int64 `[K, K]`.
    """
    hits, images = np.diag(confusion), confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        return ClassMetrics(
            images, hits / images, hits / predicted, 2 * hits / (images + predicted)
        )


def _log_softmax(logits: Logits) -> Floats:
    """Return the logarithms of the probabilities, float64 `[N, K]`.

    `scipy.special.log_softmax` returns the same numbers in twice the time.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _at_labels(values: NDArray[np.floating], labels: Labels) -> NDArray[np.floating]:
    """Return the value in the column of the label of each row, `[N]`."""
    return values[np.arange(len(labels)), labels]
