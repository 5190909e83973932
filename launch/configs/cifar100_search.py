"""The paper's search on CIFAR-100: every number that it gives.

  python -m launch.search --config=cifar100_search \
      --workdir=runs/cifar100 --config.data.data_dir=DIR

Where the paper is silent, what our measurements support (README, the evidence):
Q-values begin at 0.5, and a random action is drawn over all codes. Ours too: a tenth of
the training images is held out to measure on, and `lag: 1`, a batch that may be in
flight beyond the one being told, so that nobody waits for the slowest of a batch.

The agent is the paper's as well. For searches of some hundred candidates q_model finds
better blocks (docs/evidence.md): --config.agent.name=q_model.

11,392 candidates, each trained for 12 epochs: the paper took 3 days on 32 TitanX GPUs.
"""

from ml_collections import ConfigDict

from bqnn.config import AgentConfig, Config
from launch.cli import config_dict


def get_config() -> ConfigDict:
    """Return the configuration: the defaults of `bqnn.config` are the paper's."""
    return config_dict(Config(agent=AgentConfig(q_init=0.5, exploration="codes")))
