r"""Train a block on handwritten digits: two minutes on two cores.

python -m launch.train --search=runs/first --rank=1 --workdir=runs/final \
    --config=digits_final

Ours: the paper has no such data. Digits are shifted, never flipped.
"""

from ml_collections import ConfigDict

from bqnn.config import NetworkConfig
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration."""
    return config_dict(
        FinalConfig(
            data=FinalDataConfig(name="digits", cutout=3),
            network=NetworkConfig(stem="auto", widths=(16, 32, 64), repeats=1),
            train=RecipeConfig(
                epochs=120,
                batch=64,
                schedule="cosine",
                warmup=2,
                nesterov=True,
                label_smoothing=0.1,
                average=0.98,
            ),
        )
    )
