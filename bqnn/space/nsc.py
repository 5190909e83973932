"""Network Structure Code: a block as five integers per layer (the paper, table 1).

A layer is `(index, type, kernel, pred1, pred2)`. Index 0 is the block's input. The
output concatenates the sinks, which are the layers that no other layer reads. As text,
layers are joined by `;`: `1,1,3,0,0;2,2,3,1,0;3,7,0,0,0`.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bqnn.errors import NscError, UnknownLayerError, quote
from bqnn.layer_types import FOR_OWN, TYPES, LayerType
from bqnn.space.canonical import Graph, canonical_form


@dataclass(frozen=True, slots=True)
class Layer:
    """The code of one layer (table 1)."""

    index: int
    type: int
    kernel: int
    pred1: int
    pred2: int

    @property
    def predecessors(self) -> tuple[int, ...]:
        """Indices of the layers that this one reads; 0 is the block's input."""
        return (self.pred1, self.pred2)[: TYPES[self.type].num_predecessors]

    def __str__(self) -> str:
        """Write the five integers, joined by commas."""
        return "%d,%d,%d,%d,%d" % (  # noqa: UP031 - writes enums and NumPy as integers
            self.index,
            self.type,
            self.kernel,
            self.pred1,
            self.pred2,
        )


@dataclass(frozen=True)
class Block:
    """A valid block: its layers in order, without the Terminal.

    Attributes:
      layers: layers in order; `layers[i]` has index i + 1, and reads smaller indices.
      wiring: how blocks are connected, the kernel of the Terminal (ours): 0 as the
        network has it, 1 `residual`, 2 `dense`.

    Raises:
      NscError: on construction, if the layers are not a block; it quotes the layer.
    """

    layers: tuple[Layer, ...]
    wiring: int = 0

    def __post_init__(self) -> None:
        """Validate every layer."""
        if not self.layers:
            raise NscError("a block needs at least one layer before its Terminal")
        for index, layer in enumerate(self.layers, 1):
            _check(layer, index)
            if layer.type == LayerType.TERMINAL:
                raise _error(layer, "Terminal ends a block: nothing may follow it")
        _check(self.terminal, len(self) + 1)

    @property
    def terminal(self) -> Layer:
        """The Terminal, which ends the text of the block."""
        return Layer(len(self) + 1, LayerType.TERMINAL, self.wiring, 0, 0)

    @functools.cached_property
    def sinks(self) -> tuple[int, ...]:
        """Indices of the layers that no other layer reads, in order."""
        used = {pred for layer in self.layers for pred in layer.predecessors}
        return tuple(layer.index for layer in self.layers if layer.index not in used)

    def __len__(self) -> int:
        """Count the layers, the Terminal not included."""
        return len(self.layers)

    def __str__(self) -> str:
        """Write the block as its NSC text."""
        return format(self)


def parse(text: str) -> Block:
    """Read a block from its NSC text.

    The Terminal may be missing. Add and Concat are symmetric, so their mirror image
    (`pred1 > pred2`) reads as the same block.

    Args:
      text: layers joined by `;`, five integers each, joined by `,`.

    Raises:
      NscError: if `text` is not a block; the message quotes the offending layer.
    """
    if len(text) > _LONGEST:
        raise NscError(
            f"block {quote(text)} has {len(text):,} characters: want {_LONGEST:,} at "
            "most"
        )
    layers = tuple(_mirror(_parse_layer(part)) for part in text.split(";"))
    if layers[-1].type != LayerType.TERMINAL:
        return Block(layers)
    _check(layers[-1], len(layers))
    return Block(layers[:-1], layers[-1].kernel)


def format(block: Block) -> str:  # noqa: A001 - the contract's name (bqnn.nsc.format)
    """Write `block` as NSC text, Terminal included: one text for every block."""
    return ";".join(str(layer) for layer in (*block.layers, block.terminal))


def canonical_hash(block: Block, width: str = "uniform") -> str:
    """Hash the function that `block` computes, whatever the order of its layers.

    Two blocks with one hash are the same function up to a permutation of weights. So
    identity and pooling of kernel 1 are skipped, independent layers may be reordered,
    and the arguments of Add and Concat swapped.

    With `width="native"` no 1x1 convolution follows a Concat, so an Add further on sees
    the order of the channels: `[a,b] + [a,c]` and `[b,a] + [a,c]` are different
    functions. There the order of a Concat's arguments and of the sinks is in the hash.

    >>> bqnn.canonical_hash(bqnn.parse("1,1,3,0,0;2,4,0,1,0"))[:8]
    '52c109a3'

    Args:
      block: the block.
      width: the width rule, `uniform` or `native`.

    Returns:
      32 hexadecimal digits.
    """
    form = canonical_form(_as_graph(block, ordered_concat=width == "native"))
    return hashlib.sha256(repr(form).encode()).hexdigest()[:32]


def _as_graph(block: Block, ordered_concat: bool) -> Graph:
    """Make the graph of input, layers that compute something, and output."""
    source = {0: 0}  # layer index -> the node that computes its value
    labels: list[tuple[int, int]] = [(0, 0)]
    inputs: list[tuple[tuple[int, int], ...]] = [()]

    def add(label: tuple[int, int], preds: Iterable[int], ordered: bool) -> int:
        labels.append(label)
        inputs.append(
            tuple((source[p], i if ordered else 0) for i, p in enumerate(preds))
        )
        return len(labels) - 1

    for layer in block.layers:
        if layer.kernel in TYPES[layer.type].passing:
            source[layer.index] = source[layer.pred1]
            continue
        ordered = ordered_concat and layer.type == LayerType.CONCAT
        label = (int(layer.type), int(layer.kernel))
        source[layer.index] = add(label, layer.predecessors, ordered)
    add((int(LayerType.TERMINAL), int(block.wiring)), block.sinks, ordered_concat)
    return Graph(tuple(labels), tuple(inputs))


# Longest text in characters: 60 layers, the most of a search space, take 900.
_LONGEST = 4096
_INTEGER = re.compile(r"[0-9]{1,6}")


def _parse_layer(text: str) -> Layer:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != 5 or not all(_INTEGER.fullmatch(field) for field in fields):
        raise NscError(
            f"layer {quote(text)}: want five non-negative integers, "
            "index,type,kernel,pred1,pred2 (for example 1,1,3,0,0)"
        )
    return Layer(*map(int, fields))


def _mirror(layer: Layer) -> Layer:
    kind = TYPES.get(layer.type)
    if kind and kind.num_predecessors == 2 and layer.pred1 > layer.pred2:
        return dataclasses.replace(layer, pred1=layer.pred2, pred2=layer.pred1)
    return layer


def _error(layer: Layer, reason: str) -> NscError:
    return NscError(f"layer {quote(str(layer))}: {reason}")


def _check(layer: Layer, index: int) -> None:
    """Check one layer against table 1 at position `index`, counted from 1."""
    if layer.index != index:
        raise _error(layer, f"index {layer.index} is out of order: want {index}")
    if layer.type not in TYPES:
        known = ", ".join(f"{code} {kind.name}" for code, kind in TYPES.items())
        raise UnknownLayerError(
            f"layer {quote(str(layer))}: unknown type {layer.type}: want {known}; "
            f"{FOR_OWN}"
        )
    kind = TYPES[layer.type]
    count = kind.num_predecessors
    if layer.kernel not in kind.kernels:
        want = " or ".join(map(str, kind.kernels))
        raise _error(layer, f"{kind.title} has no kernel {layer.kernel}: want {want}")
    for name, pred in (("pred1", layer.pred1), ("pred2", layer.pred2))[:count]:
        if not 0 <= pred < index:
            raise _error(layer, f"{name} {pred} does not exist: want 0 to {index - 1}")
    for name, pred in (("pred1", layer.pred1), ("pred2", layer.pred2))[count:]:
        if pred != 0:
            raise _error(layer, f"{kind.title} has no {name}: want 0, got {pred}")
    if count == 2 and layer.pred1 >= layer.pred2:
        raise _error(layer, f"{kind.title} needs two predecessors, pred1 < pred2")
    if layer.type == LayerType.TERMINAL and index == 1:
        raise _error(layer, "Terminal is not legal at index 1: a block has a layer")
