"""Resizing of images in memory."""

import numpy as np
from PIL import Image

from bqnn.data.arrays import check_memory
from bqnn.data.dataset import Dataset, statistics
from bqnn.data.source import Images


def resized(dataset: Dataset, resolution: int) -> Dataset:
    """Resize all images of a data set to squares, and compute its statistics again.

    Args:
      dataset: returned as it is if its images have the size already.
      resolution: side of the squares, in pixels.

    Raises:
      DataError: if the images would not fit in memory.
    """
    train = resized_images(dataset.train, resolution)
    validation = resized_images(dataset.validation, resolution)
    if train is dataset.train and validation is dataset.validation:
        return dataset
    mean, std = statistics(train.images)
    return Dataset(train, validation, dataset.class_names, mean, std)


def resized_images(data: Images, resolution: int) -> Images:
    """Resize images to squares by bilinear interpolation.

    Args:
      data: returned as it is if its images have the size already.
      resolution: side of the squares, in pixels.

    Raises:
      DataError: if the images would not fit in memory.
    """
    count, height, width, channels = data.images.shape
    if height == width == resolution:
        return data
    check_memory(count * resolution**2 * channels)
    images = np.empty((count, resolution, resolution, channels), np.uint8)
    for image, result in zip(data.images, images, strict=True):
        # Channel by channel, because Pillow has no images of, say, two channels.
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            side = (resolution, resolution)
            plane = plane.resize(side, Image.Resampling.BILINEAR)
            result[..., channel] = np.asarray(plane)
    return Images(images, data.labels)
