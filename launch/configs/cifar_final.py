r"""The paper's full training on CIFAR: every number that it gives.

python -m launch.train --search=runs/cifar100 --rank=1 --workdir=runs/cifar10 \
    --config=cifar_final --config.data.name=cifar10

300 epochs: hours on a GPU, days on a CPU. N = 4 blocks per stage, as in the search and
in the paper's networks of blocks A and B; `block_qnn_s` has those of its block S.
"""

from ml_collections import ConfigDict

from bqnn.final.config import FinalConfig
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration: the defaults of `bqnn.final.config` are the paper's."""
    return config_dict(FinalConfig())
