"""Export a trained network to run without bqnn, and check that it computes the same.

  python -m launch.export --workdir=runs/final --format=stablehlo

writes runs/final/export/stablehlo. Formats, each from uint8 images [B, H, W, C] to
logits [B, K], normalisation inside: `stablehlo`, one file that jax.export loads, for
CPU, GPU and TPU; `flax`, a file of readable code and one of weights, which needs jax
and flax; `onnx` (pip install 'bqnn[onnx]'). model.json tells classes and image shape.
"""

import logging
from pathlib import Path

from absl import flags

from bqnn.export import manifest
from launch import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the training.", required=True)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "last", ["last", "best"], "Weights to export."
)
_FORMAT = flags.DEFINE_enum(
    "format", None, sorted(manifest.FILES), "To write.", required=True
)
_OUT = flags.DEFINE_string("out", None, "To this directory, not WORKDIR/export/FORMAT.")


def main() -> None:
    """Load the network, export it, and say where it is."""
    from bqnn.export.export import export
    from bqnn.final.workdir import load_model

    # jax2onnx tells of every step.
    logging.getLogger().setLevel(logging.WARNING)
    workdir, name = Path(_WORKDIR.value), _FORMAT.value
    folder = Path(_OUT.value) if _OUT.value else workdir / "export" / name
    difference = export(load_model(workdir, _CHECKPOINT.value), name, folder)
    cli.console().print(
        f"exported: {folder} (logits differ by {difference:.1e} of the largest)",
        soft_wrap=True,
        highlight=False,
    )


if __name__ == "__main__":
    cli.run(main)
