"""Known blocks: those that people have drawn, by name, as far as the code can say them.

Here every convolution is a pre-activation cell (ReLU, convolution, normalisation), all
layers of a stage have one width (`width="uniform"`), and a 1x1 cell follows every
concatenation. Between stages the network pools and changes the width. Where this
differs from the original, `form` says so.
"""

import re
from typing import NamedTuple

from bqnn.errors import NscError, quote
from bqnn.space import nsc
from bqnn.space.nsc import Block


class Known(NamedTuple):
    """A block that people have drawn.

    Attributes:
      block: the block.
      source: the paper that proposed it.
      form: its exact form here, and how it differs from the original.
    """

    block: Block
    source: str
    form: str


KNOWN = {
    "vgg": Known(
        nsc.parse("1,1,3,0,0;2,1,3,1,0"),
        "Simonyan and Zisserman, Very deep convolutional networks for large-scale "
        "image recognition, ICLR 2015 (arXiv 1409.1556)",
        "Two 3x3 convolutions, one after the other. The original normalises nothing, "
        "and its ReLU follows each convolution.",
    ),
    "resnet": Known(
        nsc.parse("1,1,3,0,0;2,1,3,1,0;3,5,0,0,2"),
        "He, Zhang, Ren and Sun, Identity mappings in deep residual networks, ECCV "
        "2016 (arXiv 1603.05027)",
        "x + f(x), where f is two 3x3 convolutions. The original normalises before "
        "each ReLU, not after each convolution, and f itself changes the width.",
    ),
    "bottleneck": Known(
        nsc.parse("1,1,1,0,0;2,1,3,1,0;3,1,1,2,0;4,5,0,0,3"),
        "He, Zhang, Ren and Sun, Identity mappings in deep residual networks, ECCV "
        "2016 (arXiv 1603.05027)",
        "x + f(x), where f is convolutions of 1x1, 3x3 and 1x1. All have the width of "
        "x: the first does not reduce it to a quarter, as the original does.",
    ),
    "inception": Known(
        nsc.parse(
            "1,1,1,0,0;2,1,1,0,0;3,1,3,2,0;4,1,1,0,0;5,1,5,4,0;6,2,3,0,0;7,1,1,6,0"
        ),
        "Szegedy et al., Going deeper with convolutions, CVPR 2015 (arXiv 1409.4842)",
        "Four branches, concatenated: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 max pooling "
        "then 1x1. All have one width, and a 1x1 convolution after the concatenation "
        "reduces it again; the original gives each branch a width, and has no such "
        "convolution.",
    ),
    "densenet": Known(
        nsc.parse("1,1,3,0,0;2,6,0,0,1;3,1,3,2,0;4,6,0,2,3;5,1,3,4,0;6,6,0,4,5"),
        "Huang, Liu, van der Maaten and Weinberger, Densely connected convolutional "
        "networks, CVPR 2017 (arXiv 1608.06993)",
        "Three 3x3 convolutions, each of which reads the concatenation of the block's "
        "input and of all before it. After every concatenation, a 1x1 convolution "
        "reduces it to one width, where the original keeps it whole and adds few "
        "channels at a time; with width=native it is kept whole.",
    ),
    "resnext": Known(
        nsc.parse(
            "1,1,1,0,0;2,1,3,1,0;3,1,1,2,0;4,1,1,0,0;5,1,3,4,0;6,1,1,5,0;"
            "7,5,0,3,6;8,5,0,0,7"
        ),
        "Xie, Girshick, Dollar, Tu and He, Aggregated residual transformations for "
        "deep neural networks, CVPR 2017 (arXiv 1611.05431)",
        "x plus the sum of two paths, each of convolutions of 1x1, 3x3 and 1x1. The "
        "code has no grouped convolutions, so that each path costs as much as a "
        "bottleneck; the original has up to 32 narrow ones.",
    ),
}
"""Known blocks by name."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse(text: str) -> Block:
    """Read a block from its NSC text, or take a known one by its name.

    The Terminal may be missing. Add and Concat are symmetric, so their mirror image
    (`pred1 > pred2`) reads as the same block.

    >>> len(bqnn.parse("1,1,3,0,0;2,7,0,0,0")), len(bqnn.parse("resnet"))
    (1, 3)

    Args:
      text: layers joined by `;`, five integers each, joined by `,`; or a name.

    Raises:
      NscError: if `text` is neither; the message quotes the offending layer, or lists
        the names.
    """
    name = text.strip()
    if _NAME.fullmatch(name):
        return by_name(name).block
    return nsc.parse(text)


def as_block(block: Block | str) -> Block:
    """Return a block as it is, or read it as `parse` does."""
    return parse(block) if isinstance(block, str) else block


def by_name(name: str) -> Known:
    """Return the known block of this name.

    Raises:
      NscError: if there is none; the message lists the names.
    """
    if name not in KNOWN:
        raise NscError(
            f"there is no known block {quote(name)}: want {', '.join(KNOWN)}, or a "
            "block as 1,1,3,0,0;2,1,3,1,0"
        )
    return KNOWN[name]


def name_of(block: Block) -> str | None:
    """Return the name of the known block that computes the same function, if any."""
    sha = nsc.canonical_hash(block)
    names = (n for n, known in KNOWN.items() if nsc.canonical_hash(known.block) == sha)
    return next(names, None)
