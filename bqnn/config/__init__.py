"""Configuration of a search: frozen dataclasses, checked when they are made."""

from bqnn.config.agent import AgentConfig, EvolutionConfig, QConfig, QModelConfig
from bqnn.config.network import NetworkConfig, SpaceConfig
from bqnn.config.sections import (
    BudgetConfig,
    Config,
    DataConfig,
    RewardConfig,
    SearchConfig,
    TrainConfig,
)

__all__ = [
    "AgentConfig",
    "BudgetConfig",
    "Config",
    "DataConfig",
    "EvolutionConfig",
    "NetworkConfig",
    "QConfig",
    "QModelConfig",
    "RewardConfig",
    "SearchConfig",
    "SpaceConfig",
    "TrainConfig",
]
