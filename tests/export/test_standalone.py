"""The code of an export reads image files as the network wants them."""

from pathlib import Path

import numpy as np
from PIL import Image

from bqnn.export import standalone
from bqnn.networks.plan import ImageSpec
from tests.helpers.trained_models import noise


def test_an_image_file_is_read_as_the_network_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    pixels = noise(ImageSpec(8, 8, 3, 10), 1)[0]
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(standalone.read_image(path, (8, 8, 3)), pixels)
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(
        standalone.read_image(path, (8, 8, 1)), grey[..., None]
    )
    # Only the middle square of a wide image is seen.
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = pixels
    Image.fromarray(wide).save(path)
    np.testing.assert_array_equal(standalone.read_image(path, (8, 8, 3)), pixels)
