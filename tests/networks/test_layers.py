"""Operations against numbers worked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from bqnn.networks.layers import MODULES
from bqnn.networks.plan import Node

pytestmark = pytest.mark.quick_compilation


def _node(op: str, kernel: int = 0, stride: int = 1, channels: int = 1) -> Node:
    return Node("node", op, kernel, stride, (0,), 0, 0, channels, 0, 0, 0)


def _apply(node: Node, *inputs: Array, train: bool = False) -> Array:
    module = MODULES[node.op](node, jnp.float32)

    @jax.jit
    def run(*inputs: Array) -> Any:
        variables = module.init(jax.random.key(0), *inputs, train=False)
        return module.apply(variables, *inputs, train=train, mutable=["batch_stats"])

    result: Array = run(*inputs)[0]
    return result


def _image(rows: list[list[float]]) -> Array:
    return jnp.array(rows, jnp.float32)[None, :, :, None]


IMAGE = _image([[1, 2, 3], [4, 5, 6], [7, 8, -9]])


def test_max_pooling_keeps_the_size() -> None:
    pooled = _apply(_node("max_pool", 3), IMAGE)[0, :, :, 0]
    assert pooled.tolist() == [[5, 6, 6], [8, 8, 8], [8, 8, 8]]


def test_max_pooling_of_negative_numbers_ignores_the_padding() -> None:
    pooled = _apply(_node("max_pool", 3), -jnp.abs(IMAGE))[0, :, :, 0]
    assert pooled.tolist() == [[-1, -1, -2], [-1, -1, -2], [-4, -4, -5]]


def test_average_pooling_divides_by_the_real_pixels() -> None:
    pooled = np.asarray(_apply(_node("average_pool", 3), IMAGE)[0, :, :, 0])
    assert pooled[0, 0] == pytest.approx((1 + 2 + 4 + 5) / 4)
    assert pooled[0, 1] == pytest.approx((1 + 2 + 3 + 4 + 5 + 6) / 6)
    assert pooled[1, 1] == pytest.approx(27 / 9)


@pytest.mark.parametrize("op", ["max_pool", "average_pool"])
def test_pooling_of_kernel_1_and_identity_change_nothing(op: str) -> None:
    np.testing.assert_array_equal(_apply(_node(op, 1), IMAGE), IMAGE)
    np.testing.assert_array_equal(_apply(_node("identity"), IMAGE), IMAGE)


@pytest.mark.parametrize(("side", "half"), [(8, 4), (7, 4), (1, 1)])
def test_pooling_between_stages_halves_and_rounds_up(side: int, half: int) -> None:
    pooled = _apply(_node("max_pool", 2, stride=2), jnp.ones((2, side, side, 3)))
    assert pooled.shape == (2, half, half, 3)


def test_add_and_concat() -> None:
    a, b = jnp.ones((1, 2, 2, 3)), jnp.full((1, 2, 2, 3), 2.0)
    np.testing.assert_array_equal(_apply(_node("add"), a, b), jnp.full_like(a, 3))
    joined = _apply(_node("concat"), a, b, a)
    assert joined.shape == (1, 2, 2, 9)
    assert joined[0, 0, 0].tolist() == [1] * 3 + [2] * 3 + [1] * 3


def test_a_pcc_is_relu_then_convolution_then_normalisation() -> None:
    node = _node("pcc", 1, channels=1)
    module = MODULES["pcc"](node, jnp.float32)
    variables: Any = {
        "params": {
            "conv": {"kernel": jnp.full((1, 1, 1, 1), 2.0)},
            "norm": {"scale": jnp.full(1, 3.0), "bias": jnp.full(1, 0.5)},
        },
        "batch_stats": {"norm": {"mean": jnp.full(1, 4.0), "var": jnp.full(1, 4.0)}},
    }
    x = jnp.array([-5.0, 3.0]).reshape(1, 1, 2, 1)
    y: Any = module.apply(variables, x, train=False)
    # relu: 0, 3; convolution: 0, 6; (0 - 4) / 2 and (6 - 4) / 2; times 3, plus 0.5.
    assert np.asarray(y).ravel() == pytest.approx([-5.5, 3.5], abs=1e-4)


def test_the_stem_has_no_relu() -> None:
    module = MODULES["stem"](_node("stem", 1, channels=1), jnp.float32)
    x = jnp.array([-5.0, 3.0]).reshape(1, 1, 2, 1)
    variables: Any = module.init(jax.random.key(0), x, train=False)
    y: Any = module.apply(variables, x, train=False)
    weight = float(variables["params"]["conv"]["kernel"].ravel()[0])
    assert np.asarray(y).ravel() == pytest.approx([-5 * weight, 3 * weight], rel=1e-4)


def test_training_normalises_by_the_batch_and_evaluation_by_running_statistics() -> (
    None
):
    x = jax.random.normal(jax.random.key(1), (8, 4, 4, 2)) * 5 + 3
    node = _node("pcc", 3, channels=6)
    trained = _apply(node, x, train=True)
    np.testing.assert_allclose(trained.mean((0, 1, 2)), np.zeros(6), atol=1e-5)
    np.testing.assert_allclose(trained.std((0, 1, 2)), np.ones(6), atol=1e-3)
    assert float(jnp.abs(_apply(node, x).std() - 1)) > 0.1


def test_the_head_pools_what_relu_leaves() -> None:
    module = MODULES["head"](_node("head", channels=2), jnp.bfloat16)
    variables: Any = {
        "params": {"dense": {"kernel": jnp.eye(2), "bias": jnp.array([0.0, 10.0])}}
    }
    x = jnp.array([[[4.0, -4.0], [2.0, 8.0]]])[None]
    logits: Any = module.apply(variables, x, train=False)
    assert logits.dtype == jnp.float32
    assert np.asarray(logits).tolist() == [[3.0, 14.0]]
