"""The recipe, augmentation and step of a full training, by numbers worked by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn import parallel
from bqnn.errors import ConfigError
from bqnn.final.augment import (
    Augmentation,
    augment,
    choose_augmentation,
    image_keys,
    mixup,
)
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.feed import Resident
from bqnn.final.job import TrainingRun, make_setup
from bqnn.final.recipe import learning_rate, make_optimizer
from bqnn.final.step import State, init_state, make_train_step
from bqnn.networks.plan import ImageSpec
from bqnn.space import nsc
from tests.helpers.networks import SPEC, random_dataset, small

pytestmark = pytest.mark.quick_compilation


def _augment(
    images: np.ndarray, how: Augmentation, first: int = 0, step: int = 0
) -> np.ndarray:
    """Augment images of a step, the first of which has position `first`."""
    fill = jnp.array([7.0])
    keys = _keys(0, np.array(step), first + np.arange(len(images)))
    return np.asarray(_augment_all(keys, images, how, fill))


_augment_all = jax.jit(augment, static_argnums=2)
_keys = jax.jit(image_keys)


def _images(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(20, 90, (count, 8, 8, 1)).astype(np.float32)


def test_the_papers_learning_rate_falls_at_its_milestones() -> None:
    rate = learning_rate(RecipeConfig(), steps=10)
    at = {0: 0.1, 1499: 0.1, 1500: 0.01, 2249: 0.01, 2250: 0.001, 2999: 0.001}
    for step, want in at.items():
        assert float(jnp.asarray(rate(step))) == pytest.approx(want), step


def test_warm_up_comes_before_either_schedule() -> None:
    recipe = RecipeConfig(epochs=10, warmup=2, milestones=(5,))
    steps = [float(jnp.asarray(learning_rate(recipe, 4)(s))) for s in (0, 4, 8, 19, 20)]
    assert steps == pytest.approx([0, 0.05, 0.1, 0.1, 0.01])
    cosine = dataclasses.replace(recipe, schedule="cosine")
    found = [float(jnp.asarray(learning_rate(cosine, 4)(s))) for s in (0, 8, 24, 40)]
    assert found == pytest.approx([0, 0.1, 0.05, 0], abs=1e-7)


def test_the_optimiser_is_sgd_with_momentum_and_weight_decay() -> None:
    recipe = RecipeConfig(momentum=0.5, weight_decay=0.1, learning_rate=0.1)
    optimizer = make_optimizer(recipe, 10)
    weight, grad, speed = jnp.array(2.0), jnp.array(1.0), 0.0
    state = optimizer.init(weight)
    want = 2.0
    for _ in range(3):
        with jax.numpy_dtype_promotion("standard"):
            update, state = optimizer.update(grad, state, weight)
            weight = weight + jnp.asarray(update)
        speed = 0.5 * speed + 1 + 0.1 * want
        want -= 0.1 * speed
        assert float(weight) == pytest.approx(want)


def test_a_gradient_that_is_too_long_is_clipped() -> None:
    recipe = RecipeConfig(clip=1.0, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    optimizer = make_optimizer(recipe, 10)
    weights = jnp.zeros(2)
    with jax.numpy_dtype_promotion("standard"):
        update, _ = optimizer.update(
            jnp.array([3.0, 4.0]), optimizer.init(weights), weights
        )
    np.testing.assert_allclose(jnp.asarray(update), [-0.6, -0.8], rtol=1e-6)


def test_digits_are_shifted_and_never_flipped_photographs_are() -> None:
    cases = {
        "digits": (SPEC, Augmentation(1, False, 0)),
        "cifar10": (ImageSpec(32, 32, 3, 10), Augmentation(4, True, 0)),
        "svhn_cropped": (ImageSpec(32, 32, 3, 10), Augmentation(4, False, 0)),
    }
    for name, (spec, want) in cases.items():
        assert choose_augmentation(FinalDataConfig(name), spec) == want, name
    given = FinalDataConfig("digits", pad=0, flip=True, cutout=2)
    assert choose_augmentation(given, SPEC) == Augmentation(0, True, 2)


def test_a_shifted_image_is_a_crop_of_its_margin() -> None:
    images = _images(40)
    shifted = _augment(images, Augmentation(1, False, 0))
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=7.0)
    met = set()
    for image, wide in zip(shifted, padded, strict=True):
        corners = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if np.array_equal(image, wide[y : y + 8, x : x + 8])
        ]
        assert len(corners) == 1
        met.update(corners)
    assert len(met) == 9


def test_half_of_the_images_are_mirrored() -> None:
    images = _images(400)
    flipped = _augment(images, Augmentation(0, True, 0))
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (flipped == images).all((1, 2, 3))).all()
    assert 160 < mirrored.sum() < 240


def test_cutout_blanks_a_square() -> None:
    images = _images(60)
    cut = _augment(images, Augmentation(0, False, 3))
    blank = (cut == 7.0).sum((1, 2, 3))
    assert blank.max() == 9  # a whole square
    assert blank.min() >= 2 * 2  # a corner of one, its centre inside
    np.testing.assert_array_equal(cut[cut != 7.0], images[cut != 7.0])


def test_what_becomes_of_an_image_depends_on_its_own_key() -> None:
    images, how = _images(8), Augmentation(2, True, 2)
    whole = _augment(images, how)
    part = _augment(images[2:4], how, first=2)
    np.testing.assert_array_equal(whole[2:4], part)
    assert not np.array_equal(whole, _augment(images, how, step=1))


def test_mixup_blends_images_and_labels_alike() -> None:
    levels = np.arange(4, dtype=np.float32)
    images = np.tile(levels.reshape(4, 1, 1, 1), (1, 2, 2, 1))
    keys = _keys(0, np.array(0), np.arange(4))
    blend = jax.jit(functools.partial(mixup, alpha=1.0))
    mixed, targets = map(np.asarray, blend(keys, images, np.eye(4, dtype=np.float32)))
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(targets @ levels, mixed[:, 0, 0, 0], rtol=1e-5)
    assert ((targets > 0).sum(-1) == 2).all()


def _step(recipe: RecipeConfig, steps: int = 1) -> State:
    """Train a small network on noise and return the state."""
    data = random_dataset(train=16)
    network = small(widths=(4,), repeats=2)
    config = FinalConfig(FinalDataConfig("digits", pad=0), network, recipe)
    block = nsc.parse("1,1,3,0,0;2,3,3,1,0")
    run = TrainingRun(block, config, data.spec, data.class_names, data.mean, data.std)
    feed = Resident(data.train, data.validation, recipe)
    setup = make_setup(run, feed.steps, feed.read)
    state = parallel.replicate(init_state(setup))
    images = parallel.replicate(feed.data)
    step = parallel.pmap_replicas(make_train_step(setup))
    for batch in list(feed.train(0, 0))[:steps]:
        state, _ = step(state, images, parallel.shard(batch))
    found: State = parallel.unreplicate(state)
    return found


def test_remat_changes_nothing_but_memory() -> None:
    recipe = RecipeConfig(batch=16, learning_rate=0.01)
    states = [
        _step(dataclasses.replace(recipe, remat=remat)) for remat in (False, True)
    ]
    for one, other in zip(*(jax.tree.leaves(s.params) for s in states), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_moving_average_follows_the_weights() -> None:
    recipe = RecipeConfig(batch=16, learning_rate=0.1, average=0.05)
    state, plain = _step(recipe), _step(dataclasses.replace(recipe, average=0.0))
    first = _step(dataclasses.replace(recipe, learning_rate=1e-30, weight_decay=0.0))
    trees = (state.average[0], plain.params, first.params)
    for average, new, old in zip(*map(jax.tree.leaves, trees), strict=True):
        np.testing.assert_allclose(average, 0.05 * old + 0.95 * new, atol=1e-6)
    assert plain.average == ()
    assert state.variables["params"] is state.average[0]


def test_accumulated_steps_change_weights_once_per_batch() -> None:
    recipe = RecipeConfig(batch=16, accumulate=2, learning_rate=0.1)
    first = init_state_of(recipe)
    one, two = _step(recipe, steps=1), _step(recipe, steps=2)
    leaves = [jax.tree.leaves(s.params) for s in (first, one, two)]
    assert all(np.array_equal(a, b) for a, b in zip(*leaves[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*leaves[1:], strict=True))
    assert two.totals.images == 16


def init_state_of(recipe: RecipeConfig) -> State:
    """The state before the first step."""
    return _step(recipe, steps=0)


def test_an_epoch_has_whole_updates() -> None:
    data = random_dataset(train=44)
    feed = Resident(data.train, data.validation, RecipeConfig(batch=16, accumulate=2))
    assert feed.steps == 4  # and not the 5 batches of 8 that there are
    batches = list(feed.train(0, 0))
    assert [len(batch.inputs) for batch in batches] == [8] * 4
    indices = np.concatenate([batch.inputs for batch in batches])
    assert len(set(indices)) == 32
    later = list(feed.train(0, 3))
    np.testing.assert_array_equal(later[0].inputs, batches[3].inputs)


def test_what_cannot_be_divided_is_refused() -> None:
    data = random_dataset(train=16)
    with pytest.raises(ConfigError, match=r"train.batch is 32: want at most the 16"):
        Resident(data.train, data.validation, RecipeConfig(batch=32))
    with pytest.raises(ConfigError, match=r"train.batch is 10: want a multiple of"):
        RecipeConfig(batch=10, accumulate=4)
    with pytest.raises(ConfigError, match="set data.resolution"):
        FinalDataConfig(streaming=True)
    with pytest.raises(ConfigError, match=r"train.milestones is \(5, 5\)"):
        RecipeConfig(milestones=(5, 5))
