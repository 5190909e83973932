"""The largest of what is read from files that others made.

Far above what is of use, and small enough that reading ends, on one machine.
"""

MOST_CLASSES = 30_000
"""Of a data set or a network; ImageNet-21k has 21,841."""

MOST_IMAGES = 100_000_000
"""Of a split that is streamed; ImageNet-21k has 14 million."""

MOST_PIXELS = 80_000_000
"""Height times width of an image in a file; above 89 million, Pillow itself warns."""

LARGEST_SIDE = 65_536
"""Height, width or channels of the images that a network is for."""

MOST_FLOPS = 10**13
"""Of a trained network and one image; a hundred times those of large vision models."""

LARGEST_TEXT_FILE = 2**27
"""Bytes of a file of JSON or csv."""
