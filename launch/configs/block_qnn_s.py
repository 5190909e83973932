r"""Block-QNN-S on CIFAR: N = 2 blocks per stage of 32, 64, 128 filters.

python -m launch.train --search=runs/cifar100 --rank=1 --workdir=runs/block_qnn_s \
    --config=block_qnn_s --config.data.name=cifar10

The paper's network of this form has 6.1 M parameters.
The layers of its block S are not known to us: give a block, by --search or --block.
Training is `cifar_final`'s.
"""

from ml_collections import ConfigDict

from bqnn.config import NetworkConfig
from bqnn.final.config import FinalConfig
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration."""
    return config_dict(FinalConfig(network=NetworkConfig("auto", repeats=2)))
