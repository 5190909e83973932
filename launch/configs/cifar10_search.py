"""The paper's search, on CIFAR-10: every number that it gives.

  python -m launch.search --config=cifar10_search \
      --workdir=runs/cifar10 --config.data.data_dir=DIR

As `cifar100_search` but for the images. The paper searches on CIFAR-100 and carries the
block to CIFAR-10; this searches where the block shall serve.
"""

import dataclasses

from ml_collections import ConfigDict

from bqnn.config import Config, DataConfig
from bqnn.config.dictionary import from_dict
from launch.cli import config_dict
from launch.configs import cifar100_search


def get_config() -> ConfigDict:
    """Return the configuration."""
    paper = from_dict(cifar100_search.get_config().to_dict(), Config)
    return config_dict(dataclasses.replace(paper, data=DataConfig(name="cifar10")))
