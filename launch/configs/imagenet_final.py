r"""The paper's full training on ImageNet: every number that the paper gives.

python -m launch.train --search=runs/cifar100 --rank=1 --workdir=runs/imagenet \
    --config=imagenet_final --config.data.data_dir=DIR

90 epochs of 1.28 million images, read from disk: a day or more on 8 GPUs.
"""

from ml_collections import ConfigDict

from bqnn.config import NetworkConfig
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration."""
    return config_dict(
        FinalConfig(
            data=FinalDataConfig(
                name="imagenet2012", resolution=224, streaming=True, workers=8
            ),
            network=NetworkConfig("imagenet", (64, 128, 256, 512), repeats=3),
            train=RecipeConfig(
                epochs=90, batch=256, milestones=(30, 60), weight_decay=0.0001
            ),
        )
    )
