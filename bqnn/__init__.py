"""BlockQNN in JAX: a Q-learning agent designs blocks of layers.

Zhong, Yan, Wu, Shao, Liu. *Practical Block-wise Neural Network Architecture
Generation.* CVPR 2018 (doi 10.1109/CVPR.2018.00257, arXiv 1708.05552); journal version
*BlockQNN: Efficient Block-wise Neural Network Architecture Generation* (arXiv
1808.05584). Docstrings call it "the paper", and mark as "ours" what it leaves open.

The names below are public. Each is imported when it is first used, so that importing
this package does not import jax: a program can still set the environment that jax reads
when it starts (see `bqnn.runtime`).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bqnn.agents.agent import Agent, make_agent
    from bqnn.config import (
        AgentConfig,
        Config,
        DataConfig,
        NetworkConfig,
        RewardConfig,
        SearchConfig,
        SpaceConfig,
        TrainConfig,
    )
    from bqnn.driver import run
    from bqnn.errors import BqnnError
    from bqnn.networks.build import build
    from bqnn.networks.cost import block_cost as cost
    from bqnn.networks.plan import ImageSpec
    from bqnn.own_layers import register_layer
    from bqnn.report import figures
    from bqnn.report.draw import block_drawing as draw
    from bqnn.report.record import read
    from bqnn.space.actions import NscSpace
    from bqnn.space.known import parse
    from bqnn.space.nsc import Block, canonical_hash

__version__ = "0.1.0"

_HOME = {
    "Agent": "bqnn.agents.agent:Agent",
    "AgentConfig": "bqnn.config:AgentConfig",
    "Block": "bqnn.space.nsc:Block",
    "BqnnError": "bqnn.errors:BqnnError",
    "Config": "bqnn.config:Config",
    "DataConfig": "bqnn.config:DataConfig",
    "ImageSpec": "bqnn.networks.plan:ImageSpec",
    "NetworkConfig": "bqnn.config:NetworkConfig",
    "NscSpace": "bqnn.space.actions:NscSpace",
    "RewardConfig": "bqnn.config:RewardConfig",
    "SearchConfig": "bqnn.config:SearchConfig",
    "SpaceConfig": "bqnn.config:SpaceConfig",
    "TrainConfig": "bqnn.config:TrainConfig",
    "build": "bqnn.networks.build:build",
    "canonical_hash": "bqnn.space.nsc:canonical_hash",
    "cost": "bqnn.networks.cost:block_cost",
    "draw": "bqnn.report.draw:block_drawing",
    "figures": "bqnn.report.figures:",
    "make_agent": "bqnn.agents.agent:make_agent",
    "parse": "bqnn.space.known:parse",
    "read": "bqnn.report.record:read",
    "register_layer": "bqnn.own_layers:register_layer",
    "run": "bqnn.driver:run",
}
"""Public names: the module of each, and its name there."""

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'bqnn' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    found: Any = importlib.import_module(module)
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *_HOME})
