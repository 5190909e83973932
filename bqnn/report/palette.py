"""Palette: the colours of lines in figures and pages."""

# Okabe and Ito's palette: colour-blind readers tell these apart.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
