"""Configuration of blocks, and of the networks that they are stacked into."""

from dataclasses import dataclass

from bqnn.config.checks import Section, check, checked, one_of, within
from bqnn.layer_types import PAPER_TYPES, named

MOST_BLOCKS = 100
"""Blocks of a network, over all stages (the paper: 12)."""

WIRINGS = "chain", "residual", "dense"
"""How the blocks of a stage may be connected; the first is the paper's.

The others are the kernels 1 and 2 of a Terminal.
"""


@dataclass(frozen=True)
class SpaceConfig(Section):
    """The search space.

    Attributes:
      max_layers: the largest layer index of a block (the paper: 23).
      types: names of the layer types that blocks are made of, besides the Terminal (the
        paper: the six of table 1; ours: separable_convolution too).
      wirings: `residual`, `dense`, that a block may choose in place of
        `network.wiring`, in one more decision (ours); none if empty.
    """

    section = "space"

    max_layers: int = within(23, 1, 60)
    types: tuple[str, ...] = PAPER_TYPES
    wirings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field, and put names in the order of their numbers."""
        super().__post_init__()
        types = tuple(kind.name for kind in named(_names(self.types))[:-1])
        object.__setattr__(self, "types", types)
        wirings = [name for name in _names(self.wirings) if name]
        ok = len({*wirings}) == len(wirings) and {*wirings} <= {*WIRINGS[1:]}
        want = f"some of {', '.join(WIRINGS[1:])}, each once"
        check("space.wirings", self.wirings, ok, want)
        object.__setattr__(self, "wirings", tuple(sorted(wirings, key=WIRINGS.index)))


def _names(given: tuple[str, ...]) -> list[str]:
    """Split names: on a command line, `convolution,add` is one text."""
    return ",".join(given).strip("()").replace(" ", "").split(",")


@dataclass(frozen=True)
class NetworkConfig(Section):
    """How blocks are stacked into a network (the paper, stacking).

    Attributes:
      stem: `small` or `cifar` (3x3 convolution), `imagenet` (reduces 224 to 56), or
        `auto`: what suits the height of the images, `imagenet` from 96 pixels on.
      widths: filters of every convolution, stage by stage.
      repeats: N, blocks per stage.
      width: `uniform` (every tensor of a stage has the stage's width; ours) or
        `native` (Concat adds widths).
      separable_repeats: how often a separable convolution is applied: 1, or 2 as in
        NASNet (Zoph et al., 2018). Each is followed by a normalisation.
      wiring: of the blocks of a stage: `chain` (each reads the one before it; the
        paper), or ours: `residual` (and its input is added to its output), `dense`
        (each reads all before it and the stage's input, concatenated).
      fit_params: parameters of a network. With it, N is chosen for every block, so that
        its network comes closest to them, and `repeats` has no say (ours).
      fit_flops: multiply-adds for one image, forward, to choose N by, in its place.
    """

    section = "network"

    stem: str = one_of("cifar", "small", "imagenet", "auto")
    widths: tuple[int, ...] = checked(
        (32, 64, 128),
        lambda widths: 1 <= len(widths) <= 10 and all(1 <= w <= 10_000 for w in widths),
        "one positive number per stage, up to 10,000, for 1 to 10 stages",
    )
    repeats: int = within(4, 1, MOST_BLOCKS)
    width: str = one_of("uniform", "native")
    separable_repeats: int = within(1, 1, 2)
    wiring: str = one_of(*WIRINGS)
    fit_params: int | None = within(None, 1, 10**18)
    fit_flops: int | None = within(None, 1, 10**18)

    @property
    def fit(self) -> tuple[str, int] | None:
        """What decides N, `params` or `flops`, and how many; None if `repeats` does."""
        if self.fit_params is not None:
            return "params", self.fit_params
        return None if self.fit_flops is None else ("flops", self.fit_flops)

    def __post_init__(self) -> None:
        """Check every field, the blocks in all, and that one budget decides N."""
        super().__post_init__()
        alone, want = None in (self.fit_params, self.fit_flops), "network.fit_params"
        check("network.fit_flops", self.fit_flops, alone, f"None beside {want}")
        blocks, want = len(self.widths) * self.repeats, f"{MOST_BLOCKS} blocks at most"
        check("network.repeats * stages", blocks, blocks <= MOST_BLOCKS, want)
