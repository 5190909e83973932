"""Trained networks in formats that run without bqnn.

`export.export` writes one and checks it, `loaders.load` reads it back. To run an export
elsewhere, `flax` needs jax and flax, `stablehlo` jax alone, `onnx` an ONNX runtime.
"""
