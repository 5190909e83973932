"""A search for one GPU and one day (ours), on CIFAR-10.

  python -m launch.search --config=one_gpu_day --workdir=runs/day \
      --config.data.data_dir=DIR --estimate --max_hours=20

prints what it will cost on this machine, and the command of a search that ends within
20 hours, which is what the journal version of the paper promises of one GPU (arXiv
1808.05584; only its abstract is known here).

Networks and recipe are the paper's. What saves time is ours: q_model instead of the
paper's agent, accuracy alone for its reward, rungs after 1 and 3 of the 12 epochs, and
a limit of 10 million parameters. Its length, 24 batches of 64, was not tried on a GPU
yet: let --max_hours choose it.
"""

from ml_collections import ConfigDict

from bqnn.config import (
    AgentConfig,
    BudgetConfig,
    Config,
    DataConfig,
    RewardConfig,
    TrainConfig,
)
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration."""
    return config_dict(
        Config(
            data=DataConfig(name="cifar10"),
            agent=AgentConfig(name="q_model", schedule="1.0:8,0.5:8,0.1:8"),
            train=TrainConfig(rungs=(1, 3)),
            reward=RewardConfig(kind="accuracy"),
            budget=BudgetConfig(max_params=10_000_000, timeout=3600.0),
        )
    )
