"""Measure: accuracy of a trained network on the test split, and its speed.

Axes: B batch, N images of the split, H W C image, K classes.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn import numerics
from bqnn.data import Images
from bqnn.data.batches import all_batches
from bqnn.errors import BqnnError, DataError
from bqnn.final.job import TrainingRun, test_images
from bqnn.final.metrics import Metrics, metrics
from bqnn.final.model import Model, logits_function
from bqnn.networks.cost import network_cost

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8 `[B, H, W, C]` to logits float32 `[B, K]`, both in the host's memory."""

TestBatches = Iterator[tuple[Images, NDArray[np.bool_]]]
"""Batches of B images, with a mask, bool `[B]`, that is False where one is padding."""

_WARM_UP = 5  # calls that are not timed
_CALLS, _SECONDS = 50, 1.0  # time as many calls, and as long, at least


class MeasureError(BqnnError):
    """The network cannot be measured."""


class Speed(NamedTuple):
    """Speed of a network, with the copies to the device and back.

    Attributes:
      latency: median time of one image, in milliseconds.
      latency95: 95th percentile of the time of one image, in milliseconds.
      images_per_second: throughput in batches.
    """

    latency: float
    latency95: float
    images_per_second: float


class Measured(NamedTuple):
    """All that is measured of a network.

    Attributes:
      metrics: metrics on the test split.
      speed: its speed.
      params: number of its parameters.
      batch: number of images in a batch.
    """

    metrics: Metrics
    speed: Speed
    params: int
    batch: int


@numerics.pinned()
def measure(model: Model, run: TrainingRun, batch: int) -> Measured:
    """Measure a network on the first device.

    Args:
      model: the trained network.
      run: its training.
      batch: number of images in a batch.

    Raises:
      DataError: if there is no test split, or its images or classes are not those of
        the network.
      MeasureError: if logits are not finite, or a batch does not fit in memory.
    """
    classify = _classifier(model)
    try:
        found = metrics(*test_logits(classify, test_batches(run, batch)))
        speed = measure_speed(classify, tuple(run.images[:3]), batch)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MeasureError(
            f"the device has too little memory for {batch} images: try a smaller "
            "--batch"
        ) from error
    return Measured(found, speed, network_cost(model.plan).params, batch)


def test_batches(run: TrainingRun, batch: int) -> TestBatches:
    """Yield every image of the test split once, and padding.

    Args:
      run: the training of the network.
      batch: number of images in a batch.

    Raises:
      DataError: if there is no test split, or its images or classes are not those of
        the network.
    """
    data = run.config.data
    if not data.streaming:
        images, labels = test_images(data, run)
        for indices, mask in zip(*all_batches(len(labels), batch), strict=True):
            yield Images(images[indices], labels[indices]), mask
        return
    from bqnn.data.stream import open_streams  # needs grain

    streams = open_streams(data, data.resolution, data.workers)
    if (streams.images, streams.class_names) != (run.images, run.class_names):
        raise DataError(
            f"data set {data.name}: it has {streams.images}, or other classes: the "
            f"network is for {run.images}"
        )
    yield from streams.evaluation("test", batch, 0, 1)


def test_logits(
    classify: Classify, batches: TestBatches
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Compute the logits of the test split.

    Args:
      classify: the network.
      batches: all images of the split; padding is left out.

    Returns:
      Logits, float32 `[N, K]`, and labels, int32 `[N]`.

    Raises:
      MeasureError: if logits are not finite.
    """
    logits, labels = [], []
    for images, mask in batches:
        logits.append(classify(images.images)[mask])
        labels.append(images.labels[mask])
    found = np.concatenate(logits)
    if not np.isfinite(found).all():
        raise MeasureError(
            "the network's logits are not finite: its training diverged; want another "
            "checkpoint"
        )
    return found, np.concatenate(labels)


def measure_speed(
    classify: Classify, image_shape: tuple[int, ...], batch: int
) -> Speed:
    """Time calls on noise, one after the other.

    Args:
      classify: the network.
      image_shape: H, W, C.
      batch: number of images in a batch.
    """
    single = _single_times(classify, image_shape)
    many = _noise(batch, image_shape)
    batched = _seconds(lambda: classify(many), 3)
    return Speed(
        float(np.median(single)),
        float(np.percentile(single, 95)),
        batch * len(batched) / float(batched.sum()),
    )


@numerics.pinned()
def measure_latency(model: Model) -> float:
    """Time single images of noise on the first device.

    Args:
      model: the trained network.

    Returns:
      The median, in milliseconds, with the copies to the device and back.
    """
    return float(np.median(_single_times(_classifier(model), model.images[:3])))


def to_json(measured: Measured) -> dict[str, Any]:
    """Convert to values that JSON can hold; NaN becomes null."""
    found = measured.metrics
    return {
        "top1": found.top1,
        "top5": found.top5,
        "loss": found.loss,
        "calibration_error": found.calibration_error,
        "latency_ms": measured.speed.latency,
        "latency95_ms": measured.speed.latency95,
        "images_per_second": measured.speed.images_per_second,
        "batch": measured.batch,
        "params": measured.params,
        "images": int(found.classes.images.sum()),
        "classes": {
            name: [None if np.isnan(x) else x for x in values.tolist()]
            for name, values in found.classes._asdict().items()
        },
        "confusion": found.confusion.tolist(),
    }


def _classifier(model: Model) -> Classify:
    """Compile a network, once for each batch size. Its weights stay on the device."""
    logits = jax.jit(logits_function(model))
    variables = jax.device_put(model.variables)
    return lambda images: np.asarray(logits(variables, images))


def _single_times(
    classify: Classify, image_shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Time calls with one image, in milliseconds, float64 `[_CALLS or more]`."""
    one = _noise(1, image_shape)
    return 1000 * _seconds(lambda: classify(one), _CALLS)


def _noise(count: int, image_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *image_shape), dtype=np.uint8)


def _seconds(call: Callable[[], Any], calls: int) -> NDArray[np.float64]:
    """Time each of at least `calls` calls, float64 `[calls or more]`."""
    for _ in range(min(_WARM_UP, calls)):
        call()
    times: list[float] = []
    while len(times) < calls or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return np.array(times)
