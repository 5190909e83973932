"""What is trained: a block, a configuration, and what is known of the data."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn.final.augment import suited
from bqnn.final.config import FinalConfig
from bqnn.final.model import Model
from bqnn.final.recipe import make_optimizer
from bqnn.final.step import Read, Setup, State, init_state, make_state
from bqnn.networks.network import abstract_variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space.nsc import Block


class Run(NamedTuple):
    """What is trained.

    Attributes:
      block: the block.
      config: the configuration.
      images: shape of the images and number of classes.
      class_names: in the order of the labels.
      mean, std: that images are normalised by, in units of pixels.  # [C] float32
    """

    block: Block
    config: FinalConfig
    images: ImageSpec
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def model(self, variables: Mapping[str, Any]) -> Model:
        """Make a model with trained variables."""
        return Model(
            self.block,
            self.config.network,
            self.images,
            self.class_names,
            self.mean,
            self.std,
            variables,
            self.config.train.dtype,
        )


def make_setup(run: Run, steps: int, read: Read) -> Setup:
    """Make what a step consists of.

    Args:
      run: what is trained.
      steps: of an epoch.
      read: reads a batch.
    """
    recipe = run.config.train
    return Setup(
        plan(run.block, run.config.network, run.images),
        recipe,
        suited(run.config.data, run.images),
        run.mean,
        run.std,
        run.images.num_classes,
        make_optimizer(recipe, max(1, steps // recipe.accumulate)),
        read,
    )


def first_state(run: Run) -> State:
    """Make the first state of a training."""
    return init_state(make_setup(run, 1, _nothing))


def abstract_state(run: Run) -> State:
    """Return shapes and dtypes of the states of a training."""
    setup = make_setup(run, 1, _nothing)
    variables = abstract_variables(setup.plan)
    found: State = jax.eval_shape(functools.partial(make_state, setup), variables)
    return found


def _nothing(data: Any, inputs: Any) -> Any:
    raise AssertionError("nothing is read to make a state")
