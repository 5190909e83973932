"""Crops: boxes of the right area and aspect, resized to squares."""

import numpy as np
from PIL import Image

from bqnn.data.crops import centre_crop, decode, random_box, random_crop
from tests.helpers.tfds_sets import jpeg

SIDE = 16


def test_a_random_box_keeps_to_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(400, 300, rng) for _ in range(500)])
    left, upper, right, lower = boxes.T
    assert left.min() >= 0 and upper.min() >= 0
    assert right.max() <= 400 and lower.max() <= 300
    width, height = right - left, lower - upper
    area = width * height / (400 * 300)
    # Rounding to whole pixels moves both a little.
    assert 0.07 < area.min() < 0.12 and 0.9 < area.max() <= 1
    assert 0.73 < (width / height).min() < 0.78
    assert 1.28 < (width / height).max() < 1.36


def test_where_no_box_fits_the_largest_central_one_is_taken() -> None:
    # 90:1, so 3:4 to 4:3 needs at most 2 % of the area.
    rng = np.random.default_rng(0)
    assert random_box(900, 10, rng) == (443, 0, 456, 10)
    assert random_box(10, 900, rng) == (0, 443, 10, 456)


def test_a_random_crop_resizes_its_box() -> None:
    image = decode(jpeg(5))
    box = random_box(image.width, image.height, np.random.default_rng(1))
    want = image.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    got = random_crop(image, SIDE, np.random.default_rng(1))
    np.testing.assert_array_equal(got, want)


def test_the_centre_crop_keeps_seven_eighths_of_the_short_side() -> None:
    # Columns 0 to 511; resized to 256 high, 512 wide; columns 144 to 367 are kept.
    ramp = np.broadcast_to(np.arange(512)[None, :, None] // 2, (256, 512, 3))
    crop = centre_crop(Image.fromarray(ramp.astype(np.uint8)), 224)
    np.testing.assert_array_equal(crop, ramp[:224, 144:368])
