"""Next command: what the terminal and the page recommend after a search."""

import dataclasses
from pathlib import Path

from bqnn.config import Config, DataConfig, NetworkConfig

# Of the network that a search measured. Stem, widths and repeats are those of the full
# training.
_OF_NETWORK = ("wiring", "fit_params", "fit_flops")


def training_flags(workdir: Path, top: int | None, config: Config) -> list[str]:
    """List the flags of `launch.train` that choose among the best, and test the winner.

    Args:
      workdir: of the search.
      top: how many of its best blocks to train in full; None for its front.
      config: of the search; images, wiring and budget are the same.
    """
    data, network = config.data, config.network
    recipe = "digits_final" if data.name == "digits" else "cifar_final"
    flags_of_data = {
        name: value
        for name, value in dataclasses.asdict(data).items()
        if name in ("name", "validation") or value != getattr(DataConfig(), name)
    }
    flags_of_network = {
        name: getattr(network, name)
        for name in _OF_NETWORK
        if getattr(network, name) != getattr(NetworkConfig(), name)
    }
    return [
        f"--search={workdir}",
        *(["--front"] if top is None else [f"--top={top}", "--retrain"]),
        f"--workdir={workdir}_final",
        f"--config={recipe}",
        *(f"--config.data.{name}={value}" for name, value in flags_of_data.items()),
        *(f"--config.network.{name}={v}" for name, v in flags_of_network.items()),
    ]
