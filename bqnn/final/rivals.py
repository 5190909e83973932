"""Rivals: blocks that found ones are compared with, drawn by people or at random."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from bqnn.config import Config
from bqnn.config.network import WIRINGS
from bqnn.errors import ConfigError, quote
from bqnn.space.actions import legal_codes
from bqnn.space.known import KNOWN, by_name
from bqnn.space.nsc import Block, Layer, LayerType, canonical_hash

_RANDOM = "random:"
_MOST_RANDOM = 1000
_TRIES = 1000  # for a random block that is not there yet


class Rivals(NamedTuple):
    """The rivals that a user has asked for.

    Attributes:
      names: of known blocks, in the order given.
      random: how many random blocks.
    """

    names: tuple[str, ...]
    random: int


def parse_rivals(text: str) -> Rivals:
    """Read names of known blocks and `random:N`, joined by commas.

    Raises:
      NscError: if a name is unknown; the message lists the names.
      ConfigError: if something is there twice, or N is no number that makes sense.
    """
    names: list[str] = []
    counts: list[int] = []
    for item in map(str.strip, text.split(",")):
        if item.startswith(_RANDOM):
            counts.append(_count(item))
        else:
            by_name(item)
            names.append(item)
    if len(set(names)) < len(names) or len(counts) > 1:
        raise ConfigError(f"rivals {quote(text)}: want each of them once")
    return Rivals(tuple(names), sum(counts))


def draw_rivals(
    rivals: Rivals, search: Config, seed: int, found: Collection[Block]
) -> dict[str, Block]:
    """Return the blocks of rivals by name; the random ones are random1, random2, ...

    The random agent draws from the same distribution. No random block computes the same
    function as another rival or as one that was found.

    Args:
      rivals: what was asked for.
      search: configuration of the search, whose space the random blocks are from.
      seed: decides the random blocks.
      found: the blocks that the rivals are compared with.

    Raises:
      ConfigError: if the space has not as many other blocks.
    """
    blocks = {name: KNOWN[name].block for name in rivals.names}
    width, rng = search.network.width, np.random.default_rng(seed)
    there = {canonical_hash(block, width) for block in (*found, *blocks.values())}
    for number in range(1, rivals.random + 1):
        for _ in range(_TRIES):
            block = random_block(rng, search)
            if (sha := canonical_hash(block, width)) not in there:
                break
        else:
            raise ConfigError(
                f"random:{rivals.random}: {number - 1} other blocks were found in the "
                "space of the search: want fewer"
            )
        there.add(sha)
        blocks[f"random{number}"] = block
    return blocks


def random_block(rng: np.random.Generator, search: Config) -> Block:
    """Draw a block as the agents of a search explore, without starting jax.

    Args:
      rng: is advanced.
      search: its `space` and `agent.exploration`.
    """
    layers: list[Layer] = []
    wiring = 0
    if search.space.wirings:
        wirings = [0, *map(WIRINGS.index, search.space.wirings)]
        wiring = wirings[rng.integers(len(wirings))]
    for index in range(1, search.space.max_layers + 1):
        codes = legal_codes(index, search.space.types)
        if search.agent.exploration == "types":
            kinds = sorted({code.type for code in codes})
            kind = kinds[rng.integers(len(kinds))]
            codes = [code for code in codes if code.type == kind]
        code = codes[rng.integers(len(codes))]
        if code.type == LayerType.TERMINAL:
            break
        layers.append(code)
    return Block(tuple(layers), wiring)


def _count(item: str) -> int:
    digits = item.removeprefix(_RANDOM)
    count = int(digits) if digits.isdecimal() and len(digits) < 9 else 0
    if not 1 <= count <= _MOST_RANDOM:
        raise ConfigError(
            f"{quote(item)}: want a number from 1 to {_MOST_RANDOM} after {_RANDOM}"
        )
    return count
