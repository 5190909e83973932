"""Models as if trained, and images to try them with."""

from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from PIL import Image

from bqnn.export.export import WRITERS, export
from bqnn.final.model import Model, logits_function
from bqnn.networks.network import init_variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space import nsc
from tests.helpers.networks import SPEC, small

# Every type of layer, both poolings with and without a window, and two sinks.
ALL_LAYERS = (
    "1,1,3,0,0;2,2,3,1,0;3,3,3,0,0;4,5,0,1,2;5,6,0,3,4;6,4,0,5,0;7,3,1,6,0;8,2,1,0,0;"
    "9,1,5,8,0;10,8,3,0,0;11,7,0,0,0"
)
SMALL = "1,1,3,0,0;2,2,3,0,0;3,3,3,2,0;4,7,0,0,0"
NAMES = ("zéro", "[one]", 'two"', *(f"class {index}" for index in range(3, 10)))


def make_model(
    nsc_text: str,
    spec: ImageSpec,
    width: str,
    dtype: str = "float32",
    seed: int = 0,
    **fields: object,
) -> Model:
    """Make a model in which nothing is zero or one; `fields` are of the network."""
    block, network = nsc.parse(nsc_text), small(width, widths=(4, 6), **fields)
    rng = np.random.default_rng(seed)

    def disturb(path: tuple[str, ...], x: np.ndarray) -> np.ndarray:
        moved = x + rng.normal(0, 0.2, x.shape).astype(np.float32)
        return np.abs(moved) if path[-1] == "var" else moved

    flat = traverse_util.flatten_dict(init_variables(plan(block, network, spec), seed))
    variables = traverse_util.unflatten_dict(
        {k: disturb(k, x) for k, x in flat.items()}
    )
    mean, std = (
        np.linspace(low, low + 30, spec.channels, dtype=np.float32) for low in (100, 50)
    )
    return Model(block, network, spec, NAMES, mean, std, variables, dtype)


MODELS = {
    "uniform": make_model(ALL_LAYERS, ImageSpec(32, 32, 3, 10), "uniform"),
    "native": make_model(SMALL, SPEC, "native", wiring="residual", repeats=2),
}


def write_exports(folder: Path) -> None:
    """Write every model in every format, MODEL/FORMAT, and images to try it with."""
    for name, model in MODELS.items():
        for format_name in WRITERS:
            assert export(model, format_name, folder / name / format_name) < 1e-5
        images = noise(model.images, 5)
        np.save(folder / name / "images.npy", images)
        Image.fromarray(images[0].squeeze()).save(folder / name / "image.png")


def noise(spec: ImageSpec, count: int) -> np.ndarray:
    """Draw images of noise, uint8 `[B, H, W, C]`."""
    shape = (count, *spec[:3])
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def logits_of(model: Model, images: np.ndarray) -> np.ndarray:
    """Compute the logits of images, float32 `[B, K]`."""
    return np.asarray(jax.jit(logits_function(model))(model.variables, images))
