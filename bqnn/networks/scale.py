"""Scale: the widths with which the network of a block costs as much as another."""

import bisect
import dataclasses

from bqnn.config import NetworkConfig
from bqnn.networks.cost import stacked_cost
from bqnn.networks.plan import ImageSpec
from bqnn.space.nsc import Block

_WIDEST = 10_000  # as `NetworkConfig` allows


def scaled(config: NetworkConfig, widest: int) -> NetworkConfig:
    """Scale all widths by one factor, and round each to the nearest integer.

    Args:
      config: the network.
      widest: its largest width afterwards, which sets the factor.

    Returns:
      The network; no width is below 1, and halves are rounded up.
    """
    old = max(config.widths)
    widths = (
        max(1, (2 * width * widest + old) // (2 * old)) for width in config.widths
    )
    return dataclasses.replace(config, widths=tuple(widths))


def matched(
    block: Block, config: NetworkConfig, images: ImageSpec, measure: str, target: int
) -> NetworkConfig:
    """Scale the widths of a block's network, so that its cost is nearest to a target.

    Args:
      block: the block.
      config: how it is stacked; its widths are scaled by one factor, N is not changed.
      images: shape of the images, and number of classes.
      measure: `params` or `flops`.
      target: parameters, or multiply-adds of the network for one image.

    Returns:
      The network; of two that are as near, the cheaper one.
    """

    def cost(widest: int) -> int:
        whole, _ = stacked_cost(block, scaled(config, widest), images)
        found: int = getattr(whole, measure)
        return found

    # Costs rise with the widths.
    above = bisect.bisect_left(range(1, _WIDEST), target, key=cost) + 1
    near = (max(1, above - 1), above)
    return scaled(config, min(near, key=lambda w: (abs(cost(w) - target), w)))
