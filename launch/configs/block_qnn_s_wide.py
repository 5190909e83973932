r"""Block-QNN-S with more filters on CIFAR: 80, 160, 320 of them.

python -m launch.train --search=runs/cifar100 --rank=1 --workdir=runs/block_qnn_s_wide \
    --config=block_qnn_s_wide --config.data.name=cifar10

The paper's network of these filters has 39.8 M parameters. N = 2, as in the narrow one,
is ours to choose: 2.5 times the width fits 6.25 times the 6.1 M parameters.
The layers of its block S are not known to us: give a block, by --search or --block.
Training is `cifar_final`'s.
"""

from ml_collections import ConfigDict

from bqnn.config import NetworkConfig
from bqnn.final.config import FinalConfig
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration."""
    return config_dict(
        FinalConfig(network=NetworkConfig("auto", (80, 160, 320), repeats=2))
    )
