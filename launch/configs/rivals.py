"""Comparisons of agents: the paper's agent, and digits where they must train.

  python -m launch.compare --space=nasbench201 --evaluator=table:FILE \
      --dataset=cifar100 --workdir=runs/rivals

Agent and reward: the paper's, in batches of 4 (ours), since budgets here are
smaller than two of its batches. Its schedule is stretched over each budget. Images and
network are the quickstart's.
"""

import dataclasses

from ml_collections import ConfigDict

from bqnn.config import AgentConfig, Config, RewardConfig, SearchConfig
from bqnn.config.dictionary import from_dict
from launch.cli import config_dict
from launch.configs import quickstart


def get_config() -> ConfigDict:
    """Return the configuration."""
    digits = from_dict(quickstart.get_config().to_dict(), Config)
    return config_dict(
        dataclasses.replace(
            digits,
            agent=AgentConfig(),
            search=SearchConfig(batch=4, lag=0),
            reward=RewardConfig(),
        )
    )
