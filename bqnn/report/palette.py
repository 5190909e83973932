"""Palette: the colours of drawings, figures and pages."""

from bqnn.space.nsc import LayerType

# Okabe and Ito's palette: colour-blind readers tell these apart.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
COLOURS = {
    LayerType.CONVOLUTION: "#56B4E9",
    LayerType.MAX_POOLING: "#E69F00",
    LayerType.AVERAGE_POOLING: "#F0E442",
    LayerType.IDENTITY: "#DDDDDD",
    LayerType.ADD: "#009E73",
    LayerType.CONCAT: "#CC79A7",
}
