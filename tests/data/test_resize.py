"""Images in memory of another size."""

import numpy as np
import pytest

from bqnn.config import DataConfig
from bqnn.data import Images, load
from bqnn.data.resize import resized, resized_images


def test_all_parts_are_resized_and_statistics_follow() -> None:
    old = load(DataConfig("digits", validation=0.2))
    new = resized(old, 12)
    assert new.spec == (12, 12, 1, 10)
    for part, before in ((new.train, old.train), (new.validation, old.validation)):
        assert part.images.shape == (len(before.labels), 12, 12, 1)
        assert part.images.dtype == np.dtype(np.uint8)
        np.testing.assert_array_equal(part.labels, before.labels)
    pixels = new.train.images.astype(np.float64)
    np.testing.assert_allclose(new.mean, [pixels.mean()], rtol=1e-5)
    np.testing.assert_allclose(new.std, [pixels.std()], rtol=1e-5)


def test_what_has_its_size_stays_as_it_is() -> None:
    data = load(DataConfig("digits", validation=0.2))
    assert resized(data, 8) is data
    assert resized_images(data.train, 8) is data.train


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_halving_takes_means_over_what_a_pixel_covers(channels: int) -> None:
    rows = np.array([0, 0, 100, 100], np.uint8)[:, None, None]
    images = np.broadcast_to(rows, (2, 4, 6, channels))
    small = resized_images(Images(images, np.zeros(2, np.int32)), 2).images
    assert small.shape == (2, 2, 2, channels)
    # The triangle of 4 rows, weights 1, 3, 3, 1, cut off at the edge: 1/7 of the other.
    assert set(small[:, 0].ravel()) == {14} and set(small[:, 1].ravel()) == {86}


def test_nothing_held_out_stays_nothing() -> None:
    assert resized(
        load(DataConfig("digits", validation=0)), 4
    ).validation.images.shape == (
        0,
        4,
        4,
        1,
    )
