"""Searches on one device: engines, workers that share it, and how they start."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import throughput
from benchmarks.setting import SETTINGS
from bqnn.config import AgentConfig, Config, DataConfig, SearchConfig, SpaceConfig


class Search(NamedTuple):
    """A short search.

    Attributes:
      layers: the most layers of a block.
      engine: that trains candidates.
      workers: that share the device.
      cold: whether no program was compiled before.
    """

    layers: int
    engine: str
    workers: int
    cold: bool


class SearchRow(NamedTuple):
    """What came of it.

    Attributes:
      search: which search.
      per_hour: candidates per hour, without the start.
      first: seconds before the first candidate was trained.
    """

    search: Search
    per_hour: float
    first: float


SEARCHES = (
    *(Search(6, "walk", 1, cold) for cold in (True, False)),
    *(Search(6, "walk", workers, False) for workers in (2, 4)),
    *(Search(6, "scan", workers, False) for workers in (1, 2)),
    *(Search(23, "walk", 1, cold) for cold in (True, False)),
    *(Search(23, "scan", workers, False) for workers in (1, 2)),
)
"""In this order: a cold search compiles for the one after it."""


def measure(
    searches: tuple[Search, ...], on_search: Callable[[], None] = lambda: None
) -> Iterator[SearchRow]:
    """Search, each time in a process of its own.

    Args:
      searches: to do, in order.
      on_search: called after each.

    Raises:
      BqnnError: if one of the processes fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        _write_images(images)
        cache = images
        for number, search in enumerate(searches):
            if search.cold or not number:
                cache = Path(folder) / f"programs-{number}"
            (found,) = throughput.measure(
                [search.workers], str(cache), on_search, config(search, images)
            )
            yield SearchRow(search, found.per_hour, found.first)


def config(search: Search, images: Path) -> Config:
    """Make the configuration of a search.

    Of six layers, the quickstart's with longer trainings; of 23, the paper's networks
    on 20 batches of noise.

    Args:
      search: which search.
      images: file of images for the second.
    """
    if search.layers <= throughput.CONFIG.space.max_layers:
        quick = throughput.CONFIG
        train = dataclasses.replace(quick.train, engine=search.engine)
        return dataclasses.replace(quick, train=train)
    paper = SETTINGS["paper"]
    return Config(
        data=DataConfig(f"npz:{images}", validation=0.1),
        space=SpaceConfig(search.layers),
        agent=AgentConfig(schedule="1.0:2"),
        search=SearchConfig(batch=8),
        network=paper.network,
        train=dataclasses.replace(paper.train, engine=search.engine),
    )


def _write_images(path: Path) -> None:
    dataset = SETTINGS["paper"].dataset()
    train, test = dataset.train, dataset.validation
    np.savez(
        path,
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
    )
