"""Trained networks in formats that run without bqnn.

`export.export` writes an export and checks it, `loaders.load` reads it back. To run it
elsewhere, `flax` needs jax and flax, `stablehlo` only jax, `onnx` an ONNX runtime.
Axes: B images of a batch, K classes, H, W and C of an image.
"""
