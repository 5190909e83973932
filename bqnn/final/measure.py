"""Measures a trained network on the test split: what it gets right, and how fast."""

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

# From images in this machine's memory to logits there.  # [b, H, W, C], [b, K]
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
# A batch, and which of its images count.  # [b, H, W, C] and [b], [b]
TestBatches = Iterator[tuple[Images, NDArray[np.bool_]]]

_WARM_UP = 5
_CALLS, _SECONDS = 50, 1.0


class MeasureError(BqnnError):
    """A network that cannot be measured."""


class Speed(NamedTuple):
    """How fast a network is, copies to the device and back included.

    Attributes:
      latency: milliseconds for one image: the median.
      latency95: the 95th percentile.
      images_per_second: when images come in batches.
    """

    latency: float
    latency95: float
    images_per_second: float


class Measured(NamedTuple):
    """All that is measured of a network.

    Attributes:
      metrics: what it gets right.
      speed: how fast it is.
      params: number of its parameters.
      batch: images of a batch.
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
      batch: images of a batch.

    Raises:
      DataError: if there is no test split, or it does not suit the network.
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

    Raises:
      DataError: if there is none, or its images or classes are not the network's.
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
    """Compute logits [N, K] of all images that count, and their labels [N].

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
    """Time calls, one after the other, with images of noise.

    Args:
      classify: what is timed.
      image_shape: H, W, C.
      batch: images of a batch.
    """
    rng = np.random.default_rng(0)
    one, many = (
        rng.integers(0, 256, (count, *image_shape), dtype=np.uint8)
        for count in (1, batch)
    )
    alone = 1000 * _seconds(lambda: classify(one), _CALLS)
    together = _seconds(lambda: classify(many), 3)
    return Speed(
        float(np.median(alone)),
        float(np.percentile(alone, 95)),
        batch * len(together) / float(together.sum()),
    )


def to_json(measured: Measured) -> dict[str, Any]:
    """Write what was measured as JSON can hold it; what is undefined is null."""
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
    """Compile a network for each size of a batch; its weights stay on the device."""
    logits = jax.jit(logits_function(model))
    variables = jax.device_put(model.variables)
    return lambda images: np.asarray(logits(variables, images))


def _seconds(call: Callable[[], Any], calls: int) -> NDArray[np.float64]:
    """Time at least so many calls, for a second at least; the first do not count."""
    for _ in range(min(_WARM_UP, calls)):
        call()
    times: list[float] = []
    while len(times) < calls or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return np.array(times)
